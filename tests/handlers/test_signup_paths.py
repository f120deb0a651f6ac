"""Every way to an account, under every policy, for every sort of address: the table of who gets one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import registration
from authsvc.flows.invites import Invitation, invite
from authsvc.flows.users import NewUser
from authsvc.primitives import emails
from authsvc.rules.access import EVERYTHING
from tests.letterbox import BROWSER, FORM, UNLIMITED, code, link, mails, rows
from tests.openid.peers import Fake, fake_provider
from tests.openid.walks import JSON_ONLY, begin, browser
from tests.support import PASSWORD, Answer, Client, FakeWorld, event_rows, running

LISTED, NAMED, OTHER = "a@eu.thrown.example", "a@corp.example", "a@mail.com"
WHO = {LISTED: "disposable", NAMED: "of a named domain", OTHER: "any other"}
OPEN_TO = {"open": {NAMED, OTHER}, "domains": {NAMED}, "invite": set(), "closed": set()}
POLICIES = sorted(OPEN_TO)


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with fake_provider() as fake:
        yield fake


def by_register(app: App, _: Fake, email: str) -> Answer:
    return Client(app).post("/register", {"email": email, "password": PASSWORD})


def by_magic(app: App, _: Fake, email: str) -> Answer:
    asked = Client(app).post("/login/magic", {"email": email, "options": {"createUser": True}})
    assert asked.status == 202
    if not mails(app, email):  # nothing was sent that would come to nothing
        return asked
    return Client(app).post("/otp/verify", {"challenge_id": asked["challenge_id"], "code": code(app, email)})


def by_magic_link(app: App, _: Fake, email: str) -> Answer:
    asked = Client(app).post("/login/magic", {"email": email})
    assert asked.status == 202
    return Client(app).post(link(app, email)) if mails(app, email) else asked


def by_otp(app: App, _: Fake, email: str) -> Answer:
    asked = Client(app).post("/otp/send", {"email": email, "options": {"createUser": True}})
    assert asked.status == 202
    if not mails(app, email):
        return asked
    return Client(app).post("/otp/verify", {"email": email, "code": code(app, email)})


def by_provider(app: App, fake: Fake, email: str) -> Answer:
    client = browser(app)
    return client.get(fake.callback(begin(client), sub=email, email=email, email_verified=True), headers=JSON_ONLY)


def by_invite(app: App, _: Fake, email: str) -> Answer:
    invite(app.core, Invitation(emails.parse(email)), CLI, EVERYTHING, locale=None)
    token = mails(app, email)[-1].partition("invite=")[2].split()[0]
    return Client(app).post("/register", {"email": email, "password": PASSWORD, "invite": token})


def by_administrator(app: App, _: Fake, email: str) -> Answer | None:
    registration.create(app.core, NewUser(emails.parse(email)), PASSWORD, CLI, EVERYTHING)
    return None


WAYS: list[Callable[[App, Fake, str], Answer | None]] = [by_register, by_magic, by_magic_link, by_otp, by_provider]


def started(folder: Path, fake: Fake, policy: str, **more: Any) -> Any:
    listed = folder / "thrown.txt"
    listed.write_text("thrown.example\n", "utf-8")
    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000  # the provider's clock is the real one
    given = {"signup": policy, "signup_domains": "corp.example", "disposable_domains": str(listed), "limit_oauth": "0"}
    return running(folder, world, **given, **fake.settings(), **UNLIMITED, **more)


def made(app: App) -> list[str]:
    return [row["email"] for row in rows(app, "SELECT email FROM users")]


@pytest.mark.parametrize("email", WHO, ids=WHO.values())
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_way_makes_an_account_for_whom_the_policy_lets_in(
    tmp_path: Path, fake: Fake, way: Callable[[App, Fake, str], Answer], policy: str, email: str
) -> None:
    """And for nobody else; a disposable address gets none under any policy, however it comes, and nobody is signed in by it."""
    with started(tmp_path, fake, policy) as app:
        answer = way(app, fake, email)
        assert made(app) == ([email] if email in OPEN_TO[policy] else [])
        if email not in OPEN_TO[policy]:
            assert "access_token" not in answer.json()
            assert [row for row in event_rows(app) if row["action"] == "user.registered"] == []


@pytest.mark.parametrize("email", WHO, ids=WHO.values())
@pytest.mark.parametrize(("way", "policies"), [(by_invite, {"open", "domains", "invite"}), (by_administrator, {*POLICIES})])
def test_who_names_an_address_answers_for_it(
    tmp_path: Path, fake: Fake, way: Callable[[App, Fake, str], Answer], policies: set[str], email: str
) -> None:
    """An invite and an administrator bring in anybody, disposable or not, wherever they can bring in somebody."""
    for policy in sorted(policies):
        folder = tmp_path / policy
        folder.mkdir()
        with started(folder, fake, policy) as app:
            way(app, fake, email)
            assert made(app) == [email]


@pytest.mark.parametrize("hidden", [{}, {"enumeration": "hide"}], ids=["reveal", "hide"])
def test_at_the_door_a_provider_is_no_detour_and_the_reason_is_told(tmp_path: Path, fake: Fake, hidden: dict[str, str]) -> None:
    """403 `signup_closed`, which says that it is the address, in JSON and on the page; whether or not it has been confirmed
    over there."""
    with started(tmp_path, fake, "open", **hidden) as app:
        for verified in (True, False):
            client = browser(app)
            answer = client.get(fake.callback(begin(client), sub="x", email=LISTED, email_verified=verified), headers=JSON_ONLY)
            assert (answer.status, answer.code) == (403, "signup_closed")
            assert answer["detail"].startswith("Addresses of this domain are not taken.")
            page = client.get(fake.callback(begin(client), sub="x", email=LISTED, email_verified=verified), headers=BROWSER)
            assert (page.status, answer["detail"] in page.body.decode()) == (403, True)
        assert made(app) == []


def test_a1_registration_tells_nothing_of_a_disposable_address_that_has_an_account(tmp_path: Path, fake: Fake) -> None:
    """ATTACKS A1: where accounts are hidden, one that an administrator made is refused as one that nobody has."""
    with started(tmp_path, fake, "open", enumeration="hide") as app:
        by_administrator(app, fake, LISTED)
        answers = [by_register(app, fake, email).json() for email in (LISTED, "b@thrown.example")]
        assert [answer.pop("request_id") == "" for answer in answers] == [False, False]
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "invalid_request"
        assert len(mails(app, LISTED)) == 0, "nor is the owner told"


def test_the_form_says_what_is_wrong_with_the_address(tmp_path: Path, fake: Fake) -> None:
    """The page of the registration, again, with the reason on it."""
    with started(tmp_path, fake, "open") as app:
        body = f"email={LISTED}&password={PASSWORD}".encode()
        page = Client(app).post("/register", raw=body, content_type=FORM, headers={**BROWSER, "Origin": "http://127.0.0.1:8000"})
        assert page.status == 422
        assert b"Addresses of this domain are not taken" in page.body
        assert made(app) == []
