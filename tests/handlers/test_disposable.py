"""Addresses that are thrown away: nobody signs up with one, on any way; who was invited or is made an account may."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.config import sources
from authsvc.problems import Refused
from tests.letterbox import UNLIMITED, mails, rows
from tests.staff import admin
from tests.support import EMAIL, PASSWORD, Client, running

LIST = "# thrown away\nmailinator.example  # and all below it\n\n.TEMP.example\nbücher.example\n"


@pytest.fixture
def listed(tmp_path: Path) -> str:
    path = tmp_path / "domains.txt"
    path.write_text(LIST, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("email", "taken"),
    [
        ("a@mailinator.example", False),
        ("a@MAILINATOR.example", False),
        ("a@eu.mailinator.example", False),
        ("a@temp.example", False),
        ("a@BÜCHER.example", False),
        ("a@xn--bcher-kva.example", False),
        ("a@notmailinator.example", True),
        ("a@mailinator.example.org", True),
        ("mailinator.example@example.org", True),
    ],
)
def test_an_address_is_judged_by_its_domain_and_those_above(tmp_path: Path, listed: str, email: str, taken: bool) -> None:
    """In any spelling; nothing is made of one that is not taken."""
    with running(tmp_path, disposable_domains=listed, **UNLIMITED) as app:
        answer = Client(app).post("/register", {"email": email, "password": PASSWORD})
        assert answer.status == (201 if taken else 422)
        assert taken or [(fault["field"], fault["code"]) for fault in answer["errors"]] == [("email", "not_allowed")]
        assert len(rows(app, "SELECT id FROM users")) == taken


@pytest.mark.parametrize("policy", ["open", "domains", "invite", "closed"])
def test_no_way_of_signing_up_takes_one_under_any_policy(tmp_path: Path, listed: str, policy: str) -> None:
    """A mailed link and a code are answered as ever (ATTACKS A1), and come to nothing."""
    thrown = "a@mailinator.example"
    given = {"signup": policy, "signup_domains": "mailinator.example"} if policy == "domains" else {"signup": policy}
    with running(tmp_path, disposable_domains=listed, **given, **UNLIMITED) as app:
        client = Client(app)
        assert client.post("/register", {"email": thrown, "password": PASSWORD}).status in (403, 422)
        for path, kept in (("/login/magic", {"options": {"createUser": True}}), ("/otp/send", {})):
            answers = [client.post(path, {"email": email, **kept}) for email in (thrown, "b@mail.com")]
            assert [answer.status for answer in answers] == [202, 202]
            assert answers[0].json().keys() == answers[1].json().keys()
        assert mails(app, thrown) == [], "no link that would come to nothing"
        assert rows(app, "SELECT id FROM users") == []


def test_nobody_moves_to_one(tmp_path: Path, listed: str) -> None:
    """One's own new address is looked at too; the rest of a profile can be changed as ever."""
    with running(tmp_path, disposable_domains=listed, **UNLIMITED) as app:
        client = Client(app)
        made = client.register()
        path, token = f"/user/{made['user']['id']}", made["access_token"]
        answer = client.put(path, {"email": "a@temp.example", "name": "Moved"}, token=token)
        assert (answer.code, answer["errors"][0]["code"]) == ("invalid_request", "not_allowed")
        assert client.get("/user", token=token)["name"] is None, "all or nothing"
        assert client.put(path, {"name": "Stays"}, token=token).status == 200


def test_an_account_that_has_one_already_goes_on(tmp_path: Path, listed: str) -> None:
    """It signs in, and keeps its address when it saves its profile."""
    thrown = "a@temp.example"
    with running(tmp_path, **UNLIMITED) as app:
        Client(app).post("/register", {"email": thrown, "password": PASSWORD})
    with running(tmp_path, disposable_domains=listed, **UNLIMITED) as app:
        client = Client(app)
        came = client.login(thrown, PASSWORD)
        assert came.status == 200
        path = f"/user/{came['user']['id']}"
        assert client.put(path, {"email": thrown, "name": "A"}, token=came["access_token"]).status == 200


def test_whom_somebody_vouches_for_may_have_one(tmp_path: Path, listed: str) -> None:
    """An invite and an administrator."""
    with running(tmp_path, disposable_domains=listed, **UNLIMITED) as app:
        host = admin(app)
        assert host.call("POST", "/user", {"email": "a@temp.example"}).status == 201
        assert host.call("POST", "/invites", {"email": "b@temp.example"}).status == 201
        token = re.findall(r"invite=(\S+)", mails(app, "b@temp.example")[-1])[0]
        assert Client(app).post("/register", {"email": "b@temp.example", "password": PASSWORD, "invite": token}).status == 201
        assert Client(app).post("/register", {"email": EMAIL, "password": PASSWORD}).status == 201


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"good.example\nno domain\n\n-x.example\n", "no domain name in line 2, 4"), (b"\xff\xfe", "cannot read"), (None, "cannot read")],
    ids=["lines", "not UTF-8", "missing"],
)
def test_a_faulty_list_stops_the_start(tmp_path: Path, content: bytes | None, told: str) -> None:
    """With the lines that are meant."""
    path = tmp_path / "domains.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=told):
        sources.from_dict({"disposable_domains": str(path)})
