"""Who may sign up, and invites: asked for, used, listed and taken back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import users
from tests.letterbox import BROWSER, FORM, UNLIMITED, letters, mails, rows, state
from tests.staff import ADMIN, Caller, admin, holder
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

DAY = 86_400
OTHER = "other@mail.com"
ORIGIN = {"Origin": "http://127.0.0.1:8000"}
HIDE = {"enumeration": "hide"}


def staff_of(app: App) -> Caller:
    """An admin, made although nobody may sign up."""
    from authsvc.flows import registration
    from authsvc.flows.users import NewUser
    from authsvc.primitives import emails
    from authsvc.rules.access import EVERYTHING

    new = NewUser(emails.parse(ADMIN), roles=["admin"], verified=True)
    user = registration.create(app.core, new, PASSWORD, CLI, EVERYTHING)[0].user
    signed_in = Client(app).login(ADMIN).json()
    return Caller(Client(app), user.id, signed_in["session_id"], signed_in["access_token"])


def token_for(app: App, email: str = EMAIL) -> str:
    """The token of the newest invite that was mailed to this address."""
    found = [match[1] for mail in mails(app, email) if (match := re.search(r"/register\?invite=(\S+)", mail))]
    return str(found[-1])


def invited(app: App, staff: Caller, **more: Any) -> str:
    answer = staff.call("POST", "/invites", {"email": EMAIL, **more})
    assert answer.status == 201, answer.body
    return token_for(app)


def join(app: App, token: str, email: str = EMAIL, **more: Any) -> Answer:
    return Client(app).post("/register", {"email": email, "password": PASSWORD, "invite": token, **more})


def same(answer: Answer) -> tuple[int, Any]:
    return answer.status, {name: value for name, value in answer.json().items() if name != "request_id"}


@pytest.fixture(params=["invite", "domains", "open"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Invites work wherever they may be needed."""
    with running(tmp_path, signup=request.param, signup_domains="corp.example", **UNLIMITED) as made:
        yield made


def test_an_invite_makes_an_account_with_a_proved_address(app: App) -> None:
    """201 with tokens; the address is confirmed, the promised roles are granted, and the letter came to it."""
    staff = staff_of(app)
    answer = staff.call("POST", "/invites", {"email": EMAIL, "name": "Ann", "roles": ["admin", "user"]})
    assert (answer.status, answer["email"], answer["roles"]) == (201, EMAIL, ["admin"])
    assert answer["expires_at"] == "2027-01-22T08:00:00.000Z"
    made = join(app, token_for(app), options={"verifyEmail": True})
    assert (made.status, made["user"]["email_verified"], made["user"]["roles"], made["user"]["caps"]) == (
        201,
        True,
        ["admin", "user"],
        ["*"],
    )
    assert letters(app) == [("invitation", EMAIL)]
    assert Client(app).get("/user", token=made["access_token"])["roles"] == ["admin", "user"]
    joined = json.loads(event_rows(app)[-1]["data"])
    assert joined == {"invite_id": answer["id"], "roles": ["admin"]}
    told = next(row for row in event_rows(app) if row["action"] == "invite.created")
    assert (told["actor_id"], json.loads(told["data"])) == (staff.id, {"invite_id": answer["id"], "roles": ["admin"]})


def test_an_invite_is_used_once(app: App) -> None:
    """Twenty at once make one account; the others are told that the link was used, or the address, or to come again."""
    token = invited(app, staff_of(app))
    answers = together(20, lambda _: join(app, token))
    assert min(answer.status for answer in answers) == 201
    assert {answer.code for answer in answers if answer.status != 201} <= {"link_invalid", "email_taken", "busy"}
    assert sum(answer.status == 201 for answer in answers) == 1
    assert rows(app, "SELECT count(*) AS n FROM users") == [{"n": 2}]


def test_an_invite_is_for_its_address_only(app: App) -> None:
    """Another address is a fault of the field, whether or not it has an account; the invite is not used up."""
    token = invited(app, staff_of(app))
    for email in (OTHER, ADMIN):
        answer = join(app, token, email)
        assert (answer.status, answer["errors"][0]["field"]) == (422, "email")
    assert join(app, token, "Example@MAIL.com").status == 201


@pytest.mark.parametrize("spoil", ["old", "revoked", "renewed", "changed", "magic"])
def test_a_link_that_counts_no_more_makes_nothing(app: App, spoil: str) -> None:
    """Run out, taken back, replaced, altered, or of another kind: 410."""
    staff = staff_of(app)
    token = invited(app, staff)
    if spoil == "old":
        app.core.world.advance(7 * DAY + 1)  # type: ignore[attr-defined]
    elif spoil == "revoked":
        invite_id = staff.get("/invites")["items"][0]["id"]
        assert staff.call("DELETE", f"/invites/{invite_id}").status == 204
        assert staff.call("DELETE", f"/invites/{invite_id}").code == "not_found"
    elif spoil == "renewed":
        staff.call("POST", "/invites", {"email": EMAIL})
    elif spoil == "changed":
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    else:
        Client(app).post("/login/magic", {"email": ADMIN})
        token = re.findall(r"/login/magic/(\S+)", mails(app, ADMIN)[-1])[0]
    assert join(app, token).code == "link_invalid"
    assert rows(app, "SELECT email FROM users") == [{"email": ADMIN}]


def test_invites_are_listed_newest_first(app: App) -> None:
    """Open ones only, in pages, without a token."""
    staff = staff_of(app)
    for email in ("a@mail.com", "b@mail.com", "c@mail.com"):
        staff.call("POST", "/invites", {"email": email, "name": "Ann", "redirect_to": "http://127.0.0.1:8000/x"})
        app.core.world.advance(1)  # type: ignore[attr-defined]
    first = staff.get("/invites?limit=2")
    rest = staff.get(f"/invites?limit=2&cursor={first['next_cursor']}")
    assert [item["email"] for item in first["items"] + rest["items"]] == ["c@mail.com", "b@mail.com", "a@mail.com"]
    assert rest["next_cursor"] is None
    assert set(first["items"][0]) == {"id", "email", "name", "roles", "invited_by", "created_at", "expires_at"}
    assert staff.call("DELETE", f"/invites/{first['items'][0]['id']}").status == 204
    assert [item["email"] for item in staff.get("/invites")["items"]] == ["b@mail.com", "a@mail.com"]
    assert staff.get("/invites?cursor=x").code == "invalid_request"
    assert staff.call("DELETE", "/invites/x").code == "not_found"
    assert actions(app)[-1] == "invite.revoked"


def test_only_an_invite_is_taken_back(app: App) -> None:
    """The id of another link is none of an invite."""
    staff = staff_of(app)
    asked = Client(app).post("/login/magic", {"email": ADMIN})["challenge_id"]
    before = state(app)
    assert staff.call("DELETE", f"/invites/{asked}").code == "not_found"
    assert state(app) == before


def test_an_address_with_an_account_is_not_invited(app: App) -> None:
    """409, no mail and no event."""
    staff = staff_of(app)
    before = state(app)
    assert staff.call("POST", "/invites", {"email": ADMIN}).code == "email_taken"
    assert staff.call("POST", "/invites", {"email": EMAIL, "roles": ["nonsense"]}).code == "invalid_request"
    assert staff.call("POST", "/invites", {"email": EMAIL, "redirect_to": "https://evil.example"}).code == "invalid_request"
    assert state(app) == before


def test_one_address_is_not_mailed_without_end(tmp_path: Path) -> None:
    """Beyond the limit of an address the answer is 429, the refusal is on record, and the last invite goes on counting."""
    with running(tmp_path, **(UNLIMITED | {"limit_mail_address": "2/3600s"})) as app:
        staff = admin(app)
        answers = [staff.call("POST", "/invites", {"email": EMAIL}) for _ in range(4)]
        assert [answer.status for answer in answers] == [201, 201, 429, 429]
        assert len(letters(app)) == 2
        assert actions(app).count("limit.hit") == 2
        assert join(app, token_for(app)).status == 201


def test_who_promised_more_than_they_have_by_now_promised_nothing(app: App) -> None:
    """An invite with a role ends with its host's own role or account; one without a role does not."""
    staff = staff_of(app)
    users.change_roles(app.core, staff.id, CLI, grant=["admin"])
    token = invited(app, staff, roles=["admin"])
    with app.core.store.write() as tx:
        tx.users.set_roles(staff.id, [], 0)
    assert join(app, token).code == "link_invalid"
    assert rows(app, "SELECT count(*) AS n FROM users") == [{"n": 1}]
    with app.core.store.write() as tx:
        tx.users.set_roles(staff.id, ["admin"], 0)
    assert join(app, token)["user"]["roles"] == ["admin", "user"]


def test_a_browser_signs_up_by_its_invite(app: App) -> None:
    """The link shows the form with the address in it; sent, it signs in and goes where the invite says."""
    token = invited(app, staff_of(app), redirect_to="http://127.0.0.1:8000/account?done=saved")
    page = Client(app).get(f"/register?invite={token}", headers=BROWSER)
    assert page.status == 200
    assert f'name="invite" value="{token}"' in page.body.decode()
    assert f'value="{EMAIL}"' in page.body.decode()
    browser = Client(app, keep_cookies=True)
    raw = f"email=example%40mail.com&password={PASSWORD}&invite={token}&options.setCookie=on&options.verifyEmail=on"
    wrong = browser.post("/register", raw=raw.replace("example", "other").encode(), content_type=FORM, headers=BROWSER | ORIGIN)
    assert (wrong.status, f'value="{token}"' in wrong.body.decode()) == (422, True)
    done = browser.post("/register", raw=raw.encode(), content_type=FORM, headers=BROWSER | ORIGIN)
    assert (done.status, done.header("Location")) == (303, "http://127.0.0.1:8000/account?done=saved")
    assert browser.get("/user")["email_verified"] is True
    assert Client(app).get(f"/register?invite={token}", headers=BROWSER).status == 410
    assert Client(app).get("/register?invite=x").code == "link_invalid"


@pytest.mark.parametrize("signup", ["domains", "invite", "closed"])
def test_a_closed_sign_up_is_closed_on_every_way(tmp_path: Path, signup: str) -> None:
    """Register, a mailed link, its code and an SMS code make no account; asking for a link is answered as ever."""
    sms = {"sms": f"file:{tmp_path}/sms", "sms_countries": "+49"}
    with running(tmp_path, signup=signup, signup_domains="corp.example", **sms, **UNLIMITED) as app:
        client = Client(app)
        staff_of(app)
        assert client.post("/register", {"email": EMAIL, "password": PASSWORD}).code == "signup_closed"
        assert client.post("/register", {"email": ADMIN, "password": PASSWORD}).code == "signup_closed"
        asked = client.post("/login/magic", {"email": EMAIL})
        assert (asked.status, mails(app)) == (202, [])
        assert client.post("/otp/send", {"email": EMAIL}).status == 202
        assert client.post("/otp/send", {"phone_number": "+4915123456789"}).status == 202
        while app.deliveries.run_once():
            pass
        assert not list(Path(tmp_path, "sms").glob("*"))
        assert rows(app, "SELECT email FROM users") == [{"email": ADMIN}]
        assert client.post("/login/magic", {"email": ADMIN}).status == 202
        assert len(mails(app, ADMIN)) == 1


def test_a_link_asked_for_before_the_door_closed_makes_nothing(tmp_path: Path) -> None:
    """The door is looked at when the account is made, too."""
    with running(tmp_path, **UNLIMITED) as app:
        Client(app).post("/login/magic", {"email": EMAIL})
        path = re.findall(r"(/login/magic/\S+)", mails(app)[-1])[0]
    with running(tmp_path, signup="invite", **UNLIMITED) as app:
        assert Client(app).post(path).code == "signup_closed"
        assert rows(app, "SELECT email FROM users") == []


def test_a_domain_lets_in_whoever_proves_an_address_of_it(tmp_path: Path) -> None:
    """Exactly that domain, in any spelling, and not before the address is confirmed."""
    with running(tmp_path, signup="domains", signup_domains="Corp.Example, bücher.example", **UNLIMITED) as app:
        for email, status in (
            ("a@CORP.example", 202),
            ("a@bücher.example", 202),
            ("a@sub.corp.example", 403),
            ("a@evilcorp.example", 403),
            ("a@corp.example.evil.example", 403),
        ):
            assert Client(app).post("/register", {"email": email, "password": PASSWORD}).status == status, email
        assert Client(app).login("a@corp.example").code == "email_not_verified"


def test_nobody_is_invited_where_the_door_is_closed(tmp_path: Path) -> None:
    """403; accounts are made by POST /user."""
    with running(tmp_path, signup="closed", **UNLIMITED) as app:
        staff = staff_of(app)
        assert staff.call("POST", "/invites", {"email": EMAIL}).code == "signup_closed"
        assert staff.call("POST", "/user", {"email": EMAIL}).status == 201


def test_with_hidden_accounts_an_invite_tells_nothing(tmp_path: Path) -> None:
    """The same 202 whether or not the invited address has got an account meanwhile; the new one is proved all the same."""
    with running(tmp_path, signup="invite", **HIDE, **UNLIMITED) as app:
        staff = staff_of(app)
        answers = []
        for email, taken in ((EMAIL, False), (OTHER, True)):
            assert staff.call("POST", "/invites", {"email": email, "roles": ["admin"]}).status == 201
            token = token_for(app, email)
            if taken:
                staff.call("POST", "/user", {"email": email})
            answers.append(same(join(app, token, email)))
        assert answers == [(202, {"status": "verification_sent"})] * 2
        assert [name for name, _ in letters(app)] == ["invitation", "welcome", "invitation", "already_registered"]
        assert (Client(app).login().status, rows(app, "SELECT role FROM user_roles WHERE user_id <> ?", staff.id)) == (
            200,
            [{"role": "admin"}],
        )
        assert len(mails(app)) == 2


def test_who_may_invite(app: App, world: FakeWorld) -> None:
    """Reading the list needs users:read, all else users:write; roles need a fresh sign-in."""
    staff = staff_of(app)
    assert world
    signed_in = Client(app).login(ADMIN)
    app.core.world.advance(890)  # type: ignore[attr-defined]
    staff.token = Client(app).refresh(signed_in["refresh_token"])["access_token"]
    app.core.world.advance(20)  # type: ignore[attr-defined]
    assert staff.call("POST", "/invites", {"email": EMAIL, "roles": ["admin"]}).code == "reauthentication_required"
    assert staff.call("POST", "/invites", {"email": EMAIL}).status == 201


@pytest.mark.parametrize(
    ("caps", "codes"), [((), (403, 403, 403)), (("users:read",), (200, 403, 403)), (("users:write",), (403, 201, 404))]
)
def test_each_act_on_invites_has_its_cap(tmp_path: Path, caps: tuple[str, ...], codes: tuple[int, ...]) -> None:
    """And no other cap will do."""
    with running(tmp_path, **UNLIMITED) as app:
        caller = holder(app, *caps)
        seen = (caller.get("/invites"), caller.call("POST", "/invites", {"email": EMAIL}), caller.call("DELETE", "/invites/x"))
        assert tuple(answer.status for answer in seen) == codes
