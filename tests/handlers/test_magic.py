"""/login/magic, /login/magic/:token and /otp/verify as their callers see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from tests.letterbox import (
    BROWSER,
    FORM,
    JSON_ONLY,
    ask_change,
    code,
    confirm,
    letters,
    link,
    magic_link,
    mails,
    reset_link,
    rows,
    verify_link,
)
from tests.support import EMAIL, Answer, Client, FakeWorld, actions, event_rows, running

TOKEN_MEMBERS = {"access_token", "token_type", "expires_in", "refresh_token", "session_id", "user"}
COOKIES = ["authsvc_access", "authsvc_device", "authsvc_refresh"]
ORIGIN = "https://app.example"
WORTHLESS = "0123456789abcdefghjkmnpqrs." + "A" * 43


def cookie_names(answer: Answer) -> list[str]:
    return sorted(value.partition("=")[0] for value in answer.header_list("Set-Cookie"))


def form(client: Client, path: str, fields: dict[str, str], **headers: str) -> Answer:
    return client.call("POST", path, raw=urlencode(fields).encode(), content_type=FORM, headers=BROWSER | headers)


@pytest.mark.parametrize("known", [True, False])
def test_asking_is_accepted_and_mails_a_link_with_a_code(client: Client, app: App, known: bool) -> None:
    """202 with the challenge and its life, the binding cookie, one event and one letter; nobody is signed in yet."""
    if known:
        client.register()
    answer = client.post("/login/magic", {"email": EMAIL})
    assert (answer.status, answer.header("Content-Type")) == (202, "application/json")
    assert answer.json() == {"status": "sent", "challenge_id": answer["challenge_id"], "expires_in": 600}
    assert answer["challenge_id"].startswith("chl_")
    (cookie,) = answer.header_list("Set-Cookie")
    assert cookie.startswith("authsvc_magic=")
    assert cookie.endswith("; Max-Age=600; Path=/login/magic; HttpOnly; SameSite=Lax")
    assert actions(app) == ["user.registered"] * known + ["magic.sent"]
    assert letters(app) == [("magic", EMAIL)]
    assert len(rows(app, "SELECT id FROM sessions")) == known
    (mail,) = mails(app)
    assert link(app) in mail
    assert code(app) in mail
    assert link(app).rpartition(".")[2].encode() not in answer.body + repr(answer.headers).encode()
    assert code(app).encode() not in answer.body


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("known", [True, False])
def test_a_program_signs_in_by_the_link(client: Client, app: App, known: bool, method: str) -> None:
    """200 with a TokenResponse and cookies; the address is proved, and an account is made where there was none."""
    if known:
        user = client.register()["user"]
    answer = client.call(method, magic_link(app), headers=JSON_ONLY)
    assert (answer.status, answer.json().keys(), cookie_names(answer)) == (200, TOKEN_MEMBERS, COOKIES)
    assert answer["user"]["email_verified"] is True
    assert answer["user"]["has_password"] is False
    if known:
        assert answer["user"]["id"] == user["id"]
    assert client.get("/user", token=answer["access_token"]).json()["id"] == answer["user"]["id"]
    (session,) = client.get("/sessions", token=answer["access_token"])["items"]
    assert (session["id"], session["amr"]) == (answer["session_id"], ["otp"])
    made = ["user.registered", "magic.sent"] if known else ["magic.sent", "user.registered"]
    reclaimed = ["account.reclaimed"] if known else []
    assert actions(app) == [*made, "email.verified", *reclaimed, "magic.used", "login.succeeded"]
    assert event_rows(app)[-1]["data"] == '{"amr":["otp"]}'


def test_cookies_come_unless_they_were_declined(client: Client, app: App) -> None:
    """`options.setCookie` of the asking is heard when the link is used by a program."""
    assert cookie_names(client.post(magic_link(app, options={"setCookie": False}))) == []
    assert cookie_names(client.post(magic_link(app, options={"setCookie": True}))) == COOKIES


def test_no_account_is_made_where_that_was_not_wanted(client: Client, app: App) -> None:
    """`createUser: false`: nobody is mailed, and nothing is made; a known account signs in all the same."""
    answer = client.post("/login/magic", {"email": EMAIL, "options": {"createUser": False}})
    assert answer.status == 202
    assert mails(app) == []
    assert rows(app, "SELECT outcome FROM outbox") == [{"outcome": "needless"}]
    client.register()
    assert client.post(magic_link(app, options={"createUser": False})).status == 200
    assert rows(app, "SELECT count(*) AS n FROM users") == [{"n": 1}]


def test_a_made_account_has_the_language_that_was_asked_in(client: Client, app: App) -> None:
    """Its letters then come in the language of the browser that asked."""
    client.post("/login/magic", {"email": EMAIL}, headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    assert client.post(link(app))["user"]["locale"] == "de-AT"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("email", "required")]),
        ({"email": "nobody"}, [("email", "invalid")]),
        ({"email": 1}, [("email", "wrong_type")]),
        ({"email": EMAIL, "redirect": "x"}, [("redirect", "unknown_field")]),
        ({"email": EMAIL, "redirect_to": 1}, [("redirect_to", "wrong_type")]),
        ({"email": EMAIL, "redirect_to": "https://evil.example/"}, [("redirect_to", "not_allowed")]),
        ({"email": EMAIL, "redirect_to": "//app.example"}, [("redirect_to", "not_allowed")]),
        ({"email": EMAIL, "redirect_to": ""}, [("redirect_to", "not_allowed")]),
        ({"email": EMAIL, "redirect_to": ORIGIN + "/" + "a" * 2048}, [("redirect_to", "too_long")]),
        ({"email": EMAIL, "options": {"createUser": "maybe"}}, [("options.createUser", "wrong_type")]),
        ({"email": EMAIL, "options": {"sendEmail": True}}, [("options.sendEmail", "unknown_field")]),
    ],
)
def test_a_wrong_asking_is_refused_and_mails_nobody(tmp_path: Path, body: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """422 names each fault; there is no challenge, no letter, no event and no cookie."""
    with running(tmp_path, app_origins=ORIGIN) as app:
        answer = Client(app).post("/login/magic", body)
        assert (answer.status, answer.code, cookie_names(answer)) == (422, "invalid_request", [])
        assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == faults
        assert (letters(app), actions(app), rows(app, "SELECT id FROM challenges")) == ([], [], [])


def test_a_listed_target_is_where_the_sign_in_ends(tmp_path: Path) -> None:
    """JSON tells `redirect_to`, a browser is sent there, with its cookies; without one it goes to the account."""
    target = f"{ORIGIN}/after?x=1"
    with running(tmp_path, app_origins=ORIGIN) as app:
        client = Client(app)
        assert client.post(magic_link(app, redirect_to=target))["redirect_to"] == target
        answer = client.post(magic_link(app, redirect_to=target), headers=BROWSER)
        assert (answer.status, answer.header("Location"), cookie_names(answer)) == (303, target, COOKIES)
        answer = client.post(magic_link(app), headers=BROWSER)
        assert (answer.status, answer.header("Location"), cookie_names(answer)) == (303, "/account", COOKIES)


def test_a_browser_gets_its_cookies_whatever_the_asking_said(client: Client, app: App) -> None:
    """A page without cookies would sign nobody in."""
    assert cookie_names(client.post(magic_link(app, options={"setCookie": False}), headers=BROWSER)) == COOKIES


def test_a_form_asks_and_is_shown_where_to_type_the_code(client: Client, app: App) -> None:
    """The page says to look into the mailbox, holds the challenge, and its cookie binds the browser."""
    answer = form(client, "/login/magic", {"email": EMAIL, "redirect_to": ""})
    (challenge,) = rows(app, "SELECT id FROM challenges")
    assert (answer.status, answer.header("Content-Type"), cookie_names(answer)) == (202, "text/html; charset=utf-8", ["authsvc_magic"])
    assert challenge["id"].encode() in answer.body
    assert letters(app) == [("magic", EMAIL)]
    wrong = form(client, "/login/magic", {"email": "nobody"})
    assert (wrong.status, wrong.header("Content-Type")) == (422, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "token",
    ["", "x", WORTHLESS, WORTHLESS[:-1], "0" * 26, "..", "%00", "é", "a" * 5000],
    ids=["none", "x", "form", "cut", "id", "dots", "nul", "e", "long"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/login/magic/", "/email/verify/", "/email/undo/", "/password/reset/"])
def test_an_unknown_link_is_410(client: Client, app: App, path: str, method: str, token: str) -> None:
    """`link_invalid` for whatever is no link of ours; the empty one is no path; nothing happens."""
    body = {"password": "copper-lantern-27"} if method == "POST" and "reset" in path else None
    answer = client.call(method, path + token.replace("é", "\u00c3\u00a9"), body)
    assert answer.status == (410 if token else 404)
    if method != "HEAD" and token:
        assert answer.code == "link_invalid"
    page = client.call(method, path + WORTHLESS, body, headers=BROWSER)
    assert (page.status, page.header("Content-Type")) == (410, "text/html; charset=utf-8")
    assert actions(app) == []


def test_a_disabled_account_is_not_signed_in(client: Client, app: App) -> None:
    """403 for whoever holds the link, on record, and no session."""
    from authsvc.events import CLI
    from authsvc.flows import users

    user_id = client.register()["user"]["id"]
    path = magic_link(app)
    users.set_status(app.core, user_id, "disabled", CLI)
    answer = client.post(path)
    assert (answer.status, answer.code, cookie_names(answer)) == (403, "account_disabled", [])
    assert actions(app)[-1] == "login.failed"
    assert rows(app, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert client.post(path).code == "link_invalid"


def test_the_code_signs_in_like_the_link(client: Client, app: App) -> None:
    """200 with a TokenResponse and cookies for whoever has the challenge and the code, grouped as people write it."""
    challenge_id = client.post("/login/magic", {"email": EMAIL})["challenge_id"]
    digits = code(app)
    answer = client.post("/otp/verify", {"challenge_id": challenge_id, "code": f"{digits[:3]} {digits[3:]}"})
    assert (answer.status, answer.json().keys(), cookie_names(answer)) == (200, TOKEN_MEMBERS, COOKIES)
    assert actions(app) == ["magic.sent", "user.registered", "email.verified", "magic.used", "login.succeeded"]
    again = client.post("/otp/verify", {"challenge_id": challenge_id, "code": digits})
    assert (again.status, again.code) == (410, "code_expired")
    assert client.post(link(app)).code == "link_invalid", "the link was for the same"


def test_a_browser_types_the_code(client: Client, app: App) -> None:
    """A wrong one shows the page again with its challenge; the right one signs in and goes to the account."""
    form(client, "/login/magic", {"email": EMAIL})
    (challenge,) = rows(app, "SELECT id FROM challenges")
    right = code(app)
    wrong = form(client, "/otp/verify", {"challenge_id": challenge["id"], "code": other_code(right)})
    assert (wrong.status, cookie_names(wrong)) == (422, [])
    assert challenge["id"].encode() in wrong.body
    answer = form(client, "/otp/verify", {"challenge_id": challenge["id"], "code": right})
    assert (answer.status, answer.header("Location"), cookie_names(answer)) == (303, "/account", COOKIES)


def test_a_wrong_code_is_refused_and_on_record(client: Client, app: App, world: FakeWorld) -> None:
    """422 `code_invalid` five times, then 429 `too_many_attempts`, though the link goes on; 410 once it has run out."""
    challenge_id = client.post("/login/magic", {"email": EMAIL})["challenge_id"]
    right = code(app)
    answers = [client.post("/otp/verify", {"challenge_id": challenge_id, "code": other_code(right)}) for _ in range(5)]
    answers.append(client.post("/otp/verify", {"challenge_id": challenge_id, "code": right}))
    assert [(answer.status, answer.code) for answer in answers] == [(422, "code_invalid")] * 5 + [(429, "too_many_attempts")]
    assert actions(app) == ["magic.sent"] + ["otp.failed"] * 6
    assert {row["outcome"] for row in event_rows(app)[1:]} == {"failure"}
    assert not any(right in row["data"] or other_code(right) in row["data"] for row in event_rows(app))
    world.advance(600)
    answer = client.post("/otp/verify", {"challenge_id": challenge_id, "code": right})
    assert (answer.status, answer.code) == (410, "code_expired")


@pytest.mark.parametrize("challenge_id", ["", "x", "chl_", "chl_" + "0" * 26, "usr_" + "0" * 26, "chl_" + "0" * 25 + "\0", "chl_é"])
def test_a_challenge_that_is_none_has_no_code(client: Client, app: App, challenge_id: str) -> None:
    """The same 422 `code_invalid` as for a wrong code."""
    answer = client.post("/otp/verify", {"challenge_id": challenge_id, "code": "123456"})
    assert (answer.status, answer.code) == (422, "code_invalid")
    assert rows(app, "SELECT id FROM sessions") == []


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("code", "required")]),
        ({"code": "123456"}, [("challenge_id", "required")]),
        ({"challenge_id": "x", "code": 123456}, [("code", "wrong_type")]),
        ({"challenge_id": "x", "code": "1" * 41}, [("code", "too_long")]),
        ({"challenge_id": "x" * 101, "code": "1"}, [("challenge_id", "too_long")]),
    ],
)
def test_a_code_needs_its_challenge(client: Client, body: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """422 names what is missing or of the wrong form."""
    answer = client.post("/otp/verify", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [(fault["field"], fault["code"]) for fault in answer["errors"]] == faults


@pytest.mark.parametrize("way", ["verify", "change"])
def test_a_code_for_an_address_counts_where_its_account_is_signed_in(client: Client, app: App, way: str) -> None:
    """401 for nobody and for somebody else, whatever the code; 200 for the account itself."""
    mine = client.register()
    stranger = client.register("stranger@mail.com")
    target = "renamed@mail.com" if way == "change" else EMAIL
    if way == "change":
        ask_change(app, target)
    else:
        verify_link(app)
    right = code(app, target)
    (challenge,) = rows(app, "SELECT id FROM challenges")
    for token in (None, stranger["access_token"]):
        answer = client.post("/otp/verify", {"challenge_id": challenge["id"], "code": right}, token=token)
        assert (answer.status, answer.code) == (401, "unauthenticated")
    assert client.get("/user", token=mine["access_token"])["email_verified"] is False
    answer = client.post("/otp/verify", {"challenge_id": challenge["id"], "code": right}, token=mine["access_token"])
    assert (answer.status, answer.json().keys(), answer["status"]) == (200, {"status", "user"}, "email_verified")
    assert (answer["user"]["email"], answer["user"]["email_verified"]) == (target, True)
    assert cookie_names(answer) == []


def test_what_has_no_code_is_not_opened_by_one(client: Client, app: App) -> None:
    """A reset link has no code beside it: none is right."""
    client.register()
    reset_link(app)
    (challenge,) = rows(app, "SELECT * FROM challenges")
    from authsvc.primitives import codes

    derived = codes.code(app.core.keyring.current, challenge["id"], 1)
    assert client.post("/otp/verify", {"challenge_id": challenge["id"], "code": derived}).code == "code_invalid"


@pytest.mark.parametrize("path", ["/login/magic", "/password/forgot", "/email/verify"])
def test_requests_for_mail_are_limited_per_network(tmp_path: Path, path: str) -> None:
    """429 with its headers when a network has asked too often; nothing more is queued."""
    with running(tmp_path, limit_mail_network="2/3600s") as app:
        answers = [Client(app).post(path, {"email": f"a{number}@mail.com"}) for number in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 429]
        assert answers[2].code == "rate_limited"
        assert int(answers[2].header("Retry-After") or 0) > 0
        assert '"mail_network";q=2' in str(answers[0].header("RateLimit-Policy"))
        assert len(letters(app)) == 2


@pytest.mark.parametrize("setting", ["link", "reset_token"])
def test_uses_of_links_are_limited_per_network(tmp_path: Path, setting: str) -> None:
    """Nobody can try many tokens."""
    path = "/password/reset/x" if setting == "reset_token" else "/login/magic/x"
    with running(tmp_path, **{f"limit_{setting}": "2/60s"}) as app:
        answers = [Client(app).get(path) for _ in range(3)]
        assert [answer.status for answer in answers] == [410, 410, 429]


@pytest.mark.parametrize("content_type", [FORM, "text/plain", "multipart/form-data", ""])
def test_a_foreign_page_cannot_sign_its_visitor_in_by_its_own_link(client: Client, app: App, content_type: str) -> None:
    """Whatever kind of form a foreign page sends to a link of its own making, its visitor stays who they are (ATTACKS B9)."""
    path = magic_link(app)
    headers = BROWSER | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = client.call("POST", path, headers=headers, environ={"CONTENT_TYPE": content_type})
    assert (answer.status, cookie_names(answer)) == (403, [])
    assert "magic.used" not in actions(app)


def test_an_account_that_was_confirmed_keeps_what_it_has(client: Client, app: App) -> None:
    """Signing in by mail changes nothing for a confirmed account."""
    first = client.register(phone_number="+14155550100")
    confirm(app)
    answer = client.post(magic_link(app))
    assert (answer["user"]["has_password"], answer["user"]["phone_number"]) == (True, "+14155550100")
    assert client.get("/user", token=first["access_token"]).status == 200
    assert "account.reclaimed" not in actions(app)


def other_code(right: str) -> str:
    """A code of the right form that is not the one."""
    return f"{(int(right) + 1) % 1_000_000:06}"


def test_a_code_that_comes_second_to_its_link_is_over(client: Client, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right code, compared just before the link was used, is told what a code is told: 410 `code_expired`; one sign-in."""
    from authsvc.flows import challenges

    challenge_id = client.post("/login/magic", {"email": EMAIL})["challenge_id"]
    digits, path, real = code(app), link(app), challenges.check_code

    def check_slowly(*args: Any) -> Any:
        found = real(*args)
        assert client.post(path).status == 200
        return found

    monkeypatch.setattr(challenges, "check_code", check_slowly)
    answer = client.post("/otp/verify", {"challenge_id": challenge_id, "code": digits})
    assert (answer.status, answer.code, cookie_names(answer)) == (410, "code_expired", [])
    assert len(rows(app, "SELECT id FROM sessions")) == 1
