"""Attacks on addresses and mail: A1, A3, A12, A13, A14, A16 and A18 of the attack list where links and letters take part."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import registration, removal, users
from authsvc.flows.users import NewUser
from authsvc.primitives import emails, links
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import DISABLED
from tests.letterbox import (
    BROWSER,
    NEW,
    NEW_PASSWORD,
    UNLIMITED,
    ask_change,
    change_link,
    code,
    confirm,
    counts,
    letters,
    link,
    magic_link,
    mails,
    reset_link,
    rows,
    undo_link,
    use,
    verify_link,
)
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

# Addresses of one length, so that even Content-Length can be compared.
KNOWN, PASSWORDLESS, OUT, OPEN, NOBODY = "known@mail.com", "nopwd@mail.com", "outed@mail.com", "open_@mail.com", "nobdy@mail.com"
KINDS = (NOBODY, KNOWN, PASSWORDLESS, OUT, OPEN)
TABLES = ("challenges", "outbox", "events", "buckets", "delays")
HIDE = {"enumeration": "hide"}
WRONG = "amber-meadow-55"
EVIL = "evil@evil.example"


def network(number: int) -> str:
    """An address in a /24 of its own."""
    return f"10.{number // 256}.{number % 256}.7"


def add(app: App, email: str, *, confirmed: bool = False) -> str:
    """An account with PASSWORD that nobody was mailed about; its id."""
    user = registration.create(app.core, NewUser(emails.parse(email)), PASSWORD, CLI, EVERYTHING)[0].user
    now = app.core.world.now()
    with app.core.store.write() as tx:
        tx.users.change(user.id, now, email_verified_at=now if confirmed else None)
    return user.id


def populate(app: App) -> None:
    """An account that is confirmed, one without a password, one that is disabled, one that is not confirmed."""
    add(app, KNOWN, confirmed=True)
    add(app, OPEN)
    users.set_status(app.core, add(app, OUT), DISABLED, CLI)
    passwordless = add(app, PASSWORDLESS)
    with app.core.store.write() as tx:
        tx.users.change(passwordless, app.core.world.now(), password_hash=None)


def shape(answer: Answer, email: str) -> tuple[Any, ...]:
    """Everything a stranger can compare: status, header names and values, cookie names and lengths, and the body. Ids, and the
    address that a form shows again, are replaced."""
    headers = []
    for name, value in answer.headers:
        if name == "Set-Cookie":
            headers.append((name, re.sub(r"=([^;]*)", lambda match: f"={len(match[1])}", value, count=1)))
        elif name != "X-Request-Id":
            headers.append((name, value))
    body = re.sub(rb"chl_[0-9a-z]{26}", b"chl_", answer.body.replace(email.encode(), b"EMAIL"))
    return answer.status, headers, re.sub(rb'"request_id": ?"[^"]*"', b"", body)


def observed(app: App, email: str, ip: str, method: Callable[[Client, str], Answer], tries: int) -> list[Any]:
    """Each answer to so many tries, and how many rows it wrote in each table."""
    seen = []
    for _ in range(tries):
        before = counts(app, *TABLES)
        answer = method(Client(app, ip=ip), email)
        written = [now - then for now, then in zip(counts(app, *TABLES), before, strict=True)]
        seen.append((shape(answer, email), written))
    return seen


def asker(path: str, **body: Any) -> Callable[[Client, str], Answer]:
    """Posts to this path for an address; `headers` among the body are the headers."""
    headers = body.pop("headers", {})
    return lambda client, email: client.post(path, {"email": email, **body}, headers=headers)


ASKINGS = {
    "forgot": asker("/password/forgot"),
    "magic": asker("/login/magic"),
    "magic-known-only": asker("/login/magic", options={"createUser": False}),
    "verify": asker("/email/verify"),
    "login": asker("/login", password=WRONG),
    "forgot-page": asker("/password/forgot", headers=BROWSER),
    "magic-page": asker("/login/magic", headers=BROWSER),
    "magic-known-only-page": asker("/login/magic", options={"createUser": False}, headers=BROWSER),
    "verify-page": asker("/email/verify", headers=BROWSER),
}
REGISTERING = {
    "register": asker("/register", password=NEW_PASSWORD),
    "register-bare": asker("/register"),
    "register-all": asker(
        "/register",
        password=NEW_PASSWORD,
        name="Ann",
        phone_number="+14155550100",
        locale="de",
        options={"sendEmail": True, "verifyEmail": True, "sendResetEmail": True, "setCookie": True},
    ),
    "register-reset": asker("/register", options={"sendResetEmail": True}),
    "register-page": asker("/register", password=NEW_PASSWORD, headers=BROWSER),
    "register-weak": asker("/register", password="short"),
    "login-right": asker("/login", password=PASSWORD),
}
CASES = [(name, {}) for name in ASKINGS] + [(name, HIDE) for name in [*ASKINGS, *REGISTERING]]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{name}{'-hide' if settings else ''}" for name, settings in CASES])
def test_a1_a3_nothing_tells_a_known_address_from_an_unknown_one(
    tmp_path: Path, world: FakeWorld, name: str, settings: dict[str, str]
) -> None:
    """The same answers byte for byte and the same numbers of rows: twice with a mail, once over the limit of the address, once
    over that of the network."""
    act = {**ASKINGS, **REGISTERING}[name]
    limits = {"limit_mail_address": "2/3600s", "limit_register_all": "0", "limit_login_all": "0"} | {
        f"limit_{limit}": "3/3600s" for limit in ("mail_network", "register", "login")
    }
    with running(tmp_path, world, **settings, **limits) as app:
        populate(app)
        kinds = [kind for kind in KINDS if name != "login-right" or kind not in (KNOWN, OUT)]  # their right password may tell
        seen = {email: observed(app, email, network(number), act, 4) for number, email in enumerate(kinds)}
    for email in kinds[1:]:
        assert seen[email] == seen[NOBODY]
    statuses = [status for (status, _, _), _ in seen[NOBODY]]
    first = {"login": 401, "login-right": 401, "register-weak": 422}.get(name, 202)
    assert statuses == [first] * 3 + [429]


def test_a1_over_the_limit_of_an_address_nothing_is_sent_and_older_links_go_on(tmp_path: Path, world: FakeWorld) -> None:
    """The answer stays 202; the mails stop at the bound over all kinds of asking (C13), and the link of before still signs in."""
    with running(tmp_path, world, **(UNLIMITED | {"limit_mail_address": "3/3600s"})) as app:
        client = Client(app)
        client.register()
        paths = [verify_link(app), reset_link(app), magic_link(app)]
        for path in ("/password/forgot", "/login/magic", "/email/verify"):
            assert client.post(path, {"email": EMAIL.upper()}).status == 202
        assert len(mails(app)) == 3
        assert mails(app, EMAIL.upper()) == []
        assert actions(app).count("limit.hit") == 3
        assert client.get(paths[0]).status == 200
        assert client.get(paths[1]).status == 200
        assert use(app, paths[2]).status == 200
        world.advance(3_600)
        assert len(mails(app)) == 4, "a notice of the reclaim is no asked-for mail"
        assert reset_link(app) != paths[1]


@pytest.mark.parametrize("path", ["/register", "/login/magic", "/password/forgot", "/email/verify"])
def test_a1_the_mailbox_alone_learns_who_has_an_account(tmp_path: Path, world: FakeWorld, path: str) -> None:
    """Under `hide` an owner who registers again is told so by mail; nothing of the account changes, and no stranger is mailed by
    what is not for strangers."""
    with running(tmp_path, world, **HIDE, **UNLIMITED) as app:
        populate(app)
        before = rows(app, "SELECT * FROM users")
        for email in (KNOWN, NOBODY):
            body = {"email": email, **({"password": NEW_PASSWORD, "name": "Eve"} if path == "/register" else {})}
            assert Client(app).post(path, body).status == 202
        assert rows(app, "SELECT * FROM users WHERE email <> ?", NOBODY) == before
        known, nobody = (len(mails(app, email)) for email in (KNOWN, NOBODY))
        assert (known, nobody) == {"/register": (1, 1), "/login/magic": (1, 1), "/password/forgot": (1, 0), "/email/verify": (0, 0)}[path]
        if path == "/register":
            assert letters(app)[-2:] == [("already_registered", KNOWN), ("verify", NOBODY)]
            assert Client(app).login(KNOWN, NEW_PASSWORD).status == 401
            assert Client(app).login(KNOWN).status == 200


@pytest.mark.parametrize("target", [KNOWN, NOBODY])
def test_a1_a_change_to_an_address_does_not_tell_under_hide_whether_it_is_taken(tmp_path: Path, world: FakeWorld, target: str) -> None:
    """The same 200, rows and events; and whatever was pending before has ended either way, or that would tell."""
    with running(tmp_path, world, **HIDE, **UNLIMITED) as app:
        populate(app)
        mine = "mine_@mail.com"
        add(app, mine, confirmed=True)
        pending = change_link(app, "aside@mail.com", mine)
        before = counts(app, *TABLES)
        ask_change(app, target, mine)
        assert [now - then for now, then in zip(counts(app, *TABLES), before, strict=True)] == [1, 1, 2, 0, 0]
        assert use(app, pending).status == 410


def test_a1_a_taken_address_is_told_under_reveal(client: Client, app: App) -> None:
    """409 `email_taken`, and nothing of that request is done."""
    user = client.register()
    client.register(NEW)
    answer = client.put(f"/user/{user['user']['id']}", {"email": NEW, "name": "Ann"}, token=user["access_token"])
    assert (answer.status, answer.code) == (409, "email_taken")
    assert letters(app) == []
    assert client.get("/user", token=user["access_token"])["name"] is None


def test_a1_under_hide_the_owner_of_the_wanted_address_is_told(tmp_path: Path, world: FakeWorld) -> None:
    """They get the letter of somebody who registers again; the link that is not in it proves nothing."""
    with running(tmp_path, world, **HIDE, **UNLIMITED) as app:
        populate(app)
        add(app, EMAIL, confirmed=True)
        ask_change(app, KNOWN)
        assert letters(app)[-1] == ("already_registered", KNOWN)
        assert "/email/verify/" not in mails(app, KNOWN)[-1]
        assert rows(app, "SELECT email FROM users WHERE email IN (?, ?) ORDER BY rowid", EMAIL, KNOWN) == [
            {"email": KNOWN},
            {"email": EMAIL},
        ]


# A12, A13


def squat(app: App) -> dict[str, Any]:
    """Somebody registers the victim's address: a password, a phone number, two sessions, a pending change of the address, links."""
    client = Client(app, ip=network(666))
    first = client.register(phone_number="+14155550100", name="Eve")
    second = client.login()
    pending = change_link(app, EVIL)
    opened = [verify_link(app), reset_link(app)]
    client.post("/login/magic", {"email": EMAIL})
    return {"tokens": [first, second], "pending": pending, "links": [*opened, link(app)], "id": first["user"]["id"]}


def by_magic(app: App) -> None:
    assert use(app, magic_link(app)).status == 200


def by_code(app: App) -> None:
    challenge_id = Client(app).post("/login/magic", {"email": EMAIL})["challenge_id"]
    assert Client(app).post("/otp/verify", {"challenge_id": challenge_id, "code": code(app)}).status == 200


def by_reset(app: App) -> None:
    assert use(app, reset_link(app)).status == 200


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    """An app without limits."""
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


@pytest.mark.parametrize("come", [by_magic, by_code, by_reset])
def test_a12_a13_who_proves_the_address_gets_the_account_without_its_squatter(free: App, come: Callable[[App], None]) -> None:
    """Password, phone number, sessions, pending address and open links of before are gone at once, on record, and told by mail."""
    squatted = squat(free)
    come(free)
    client = Client(free, ip=network(666))
    for tokens in squatted["tokens"]:
        assert client.get("/user", token=tokens["access_token"]).code == "invalid_token"
        assert client.refresh(tokens["refresh_token"]).code == "invalid_token"
    assert client.login().status == 401
    for path in (squatted["pending"], *squatted["links"]):
        assert use(free, path).status == 410
    (user,) = rows(free, "SELECT * FROM users")
    assert (user["id"], user["email"], user["phone_number"]) == (squatted["id"], EMAIL, None)
    assert user["email_verified_at"] is not None
    assert (user["password_hash"] is None) is (come is not by_reset)
    (event,) = [row for row in event_rows(free) if row["action"] == "account.reclaimed"]
    assert (event["subject"], event["actor_id"]) == (squatted["id"], squatted["id"])
    assert event["data"].startswith('{"dropped":["password","phone_number","sessions"')
    assert letters(free).count(("account_reclaimed", EMAIL)) == 1
    assert mails(free, EVIL)[1:] == []
    assert rows(free, "SELECT purpose FROM challenges WHERE used_at IS NULL") == []
    assert client.login(EVIL).status == 401


def test_a13_a_pending_address_alone_is_dropped_and_told_too(free: App) -> None:
    """Though the squatter left neither password nor session behind: what could have taken the account away is on record."""
    client = Client(free)
    squatter = client.register(password=None, options={"sendResetEmail": True})
    client.put(f"/user/{squatter['user']['id']}", {"email": EVIL}, token=squatter["access_token"])
    pending = link(free, EVIL)
    client.post("/token/revoke", token=squatter["access_token"])
    by_magic(free)
    assert use(free, pending).status == 410
    assert actions(free).count("account.reclaimed") == 1


def test_a12_the_owner_then_sets_a_password_and_nobody_else_comes_in(free: App) -> None:
    """After the reclaim the account is an ordinary one."""
    squat(free)
    tokens = Client(free).post(magic_link(free))
    changed = Client(free).post("/password/change", {"new_password": NEW_PASSWORD}, token=tokens["access_token"])
    assert changed.status == 200
    assert Client(free).login(password=NEW_PASSWORD).status == 200
    assert Client(free).login().status == 401
    by_magic(free)
    assert actions(free).count("account.reclaimed") == 1


@pytest.mark.parametrize("come", [by_magic, by_reset])
def test_a12_a_squatters_device_is_not_known_to_the_owner(free: App, come: Callable[[App], None]) -> None:
    """Whoever comes in later from the squatter's browser is reported like any stranger: neither its cookie nor its old sessions
    make it the owner's."""
    squatter = Client(free, ip=network(666), keep_cookies=True)
    squatter.register(options={"setCookie": True})
    come(free)
    if come is by_magic:
        by_reset(free)
    assert squatter.login(password=NEW_PASSWORD).status == 200
    assert letters(free).count(("new_device", EMAIL)) == 1


@pytest.mark.parametrize("come", [by_magic, by_code, by_reset])
def test_a12_a_confirmed_account_loses_nothing(free: App, come: Callable[[App], None]) -> None:
    """Phone number and (but for a reset) password and sessions stay; nothing is reported."""
    client = Client(free)
    mine = client.register(phone_number="+14155550100")
    confirm(free)
    come(free)
    (user,) = rows(free, "SELECT phone_number FROM users")
    assert user["phone_number"] == "+14155550100"
    reset = come is by_reset
    assert client.login(password=NEW_PASSWORD if reset else PASSWORD).status == 200
    assert client.get("/user", token=mine["access_token"]).status == (401 if reset else 200)
    assert "account.reclaimed" not in actions(free)
    assert ("account_reclaimed", EMAIL) not in letters(free)


def test_a12_the_plain_confirmation_is_no_reclaim(free: App) -> None:
    """Who registered and then confirms keeps password, phone number and sessions."""
    client = Client(free)
    mine = client.register(phone_number="+14155550100")
    confirm(free)
    assert client.get("/user", token=mine["access_token"])["phone_number"] == "+14155550100"
    assert client.login().status == 200
    assert "account.reclaimed" not in actions(free)


def test_a12_fifty_proofs_at_once_reclaim_once(free: App) -> None:
    """A magic link and a reset link used at the same time: one event of the reclaim, one letter."""
    squat(free)
    paths = [magic_link(free), reset_link(free)]
    together(10, lambda number: use(free, paths[number % 2], ip=network(number)))
    assert actions(free).count("account.reclaimed") == 1
    assert letters(free).count(("account_reclaimed", EMAIL)) == 1


# A14, A16


@pytest.mark.parametrize("age", [900, 901])
def test_a16_a_new_address_needs_a_fresh_sign_in(client: Client, app: App, world: FakeWorld, age: int) -> None:
    """An open session of more than 15 minutes is refused, nobody is mailed; other fields and a reauthentication go through."""
    user = client.register()
    path, token = f"/user/{user['user']['id']}", user["access_token"]
    world.advance(age)
    answer = client.put(path, {"email": NEW, "name": "Eve"}, token=token)
    if age == 900:
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (401, "reauthentication_required")
    assert "insufficient_user_authentication" in str(answer.header("WWW-Authenticate"))
    assert letters(app) == []
    assert client.get("/user", token=token)["name"] is None
    assert client.put(path, {"name": "Ann"}, token=token).status == 200
    again = client.post("/reauthenticate", {"password": PASSWORD}, token=token)
    assert client.put(path, {"email": NEW}, token=again["access_token"]).status == 200
    assert letters(app) == [("email_change", NEW)]


def test_a16_an_address_is_changed_by_proof_only(free: App) -> None:
    """Until the new mailbox answers nothing is told, changed or lost; nobody else's link proves it."""
    client = Client(free)
    client.register()
    change_link(free)
    assert letters(free) == [("email_change", NEW)]
    assert Client(free).post(magic_link(free, NEW)).status == 200, "its owner gets an account of their own"
    assert rows(free, "SELECT email FROM users ORDER BY rowid") == [{"email": EMAIL}, {"email": NEW}]
    assert use(free, link_of(free, "email_change")).code in ("email_taken", "link_invalid")
    assert client.login()["user"]["email"] == EMAIL
    assert "email.changed" not in actions(free)


def link_of(app: App, purpose: str, number: int = -1) -> str:
    """The link of a challenge of this purpose, derived as the courier does, whether or not it was mailed."""
    found = rows(app, "SELECT id FROM challenges WHERE purpose = ? ORDER BY rowid", purpose)
    path = {"email_change": "/email/verify", "email_undo": "/email/undo"}[purpose]
    return f"{path}/{links.mint(app.core.keyring.current, found[number]['id'], purpose)}"


def test_a16_two_accounts_that_want_one_address_get_it_once(tmp_path: Path, world: FakeWorld) -> None:
    """Both links open and used at once, ten times each: one account has the address, the other keeps its own."""
    with running(tmp_path, world, **(UNLIMITED | {"limit_mail_address": "1/3600s"})) as app:
        client = Client(app)
        client.register()
        client.register("rival@mail.com")
        ask_change(app, NEW)
        ask_change(app, NEW, "rival@mail.com")
        paths = [link_of(app, "email_change", number) for number in range(2)]
        answers = together(20, lambda number: use(app, paths[number % 2], ip=network(number)))
        assert sum(answer.status == 200 for answer in answers) == 1
        assert {answer.code for answer in answers if answer.status != 200} <= {"email_taken", "link_invalid"}
        kept = {row["email"] for row in rows(app, "SELECT email FROM users")}
        assert len(kept) == 2
        assert NEW in kept
        assert actions(app).count("email.changed") == 1
        assert [letter for letter, _ in letters(app)].count("email_changed") == 1


def test_a16_a_rivals_asking_does_not_end_anothers_pending_change(free: App) -> None:
    """Only a newer change of the same account ends an older one; a stranger who wants the same address cannot put a link for
    their own account in the place of mine."""
    client = Client(free)
    client.register()
    client.register("rival@mail.com")
    mine = change_link(free)
    ask_change(free, NEW, "rival@mail.com")
    assert use(free, mine).status == 200
    assert client.login(NEW)["user"]["email"] == NEW


def chain(app: App) -> tuple[Client, dict[str, str]]:
    """An account that went from A to B to C; what A and B can use to take it back."""
    client = Client(app)
    client.register("a@mail.com")
    undo = {}
    for old, new in (("a", "b"), ("b", "c")):
        app.core.world.advance(60)  # type: ignore[attr-defined]
        undo[old] = undo_link(app, f"{new}@mail.com", f"{old}@mail.com")
    return client, undo


@pytest.mark.parametrize("order", list(permutations("ab")), ids="".join)
def test_a16_the_first_address_wins_over_the_later_ones_whatever_the_order(free: App, order: tuple[str, ...]) -> None:
    """A's link ends B's; B's link does not end A's; in the end the account is A's, everybody is signed out, B and C get nothing."""
    client, undo = chain(free)
    tokens = client.login("c@mail.com")
    answers = [use(free, undo[name]).status for name in order]
    assert answers == ([200, 410] if order == ("a", "b") else [200, 200])
    assert rows(free, "SELECT email, password_hash FROM users") == [{"email": "a@mail.com", "password_hash": None}]
    assert client.get("/user", token=tokens["access_token"]).status == 401
    assert client.refresh(tokens["refresh_token"]).status == 401
    assert rows(free, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert letters(free)[-1] == ("set_password", "a@mail.com")
    for name in "ab":
        assert use(free, undo[name]).status == 410
    for email in ("b@mail.com", "c@mail.com"):
        count = len(mails(free, email))
        client.post("/password/forgot", {"email": email})
        assert len(mails(free, email)) == count
    assert use(free, link(free, "a@mail.com")).status == 200
    assert client.login("a@mail.com", NEW_PASSWORD).status == 200


def test_a16_both_take_it_back_at_once(free: App) -> None:
    """However they interleave, the account ends with A."""
    _, undo = chain(free)
    together(20, lambda number: use(free, undo["ab"[number % 2]], ip=network(number)))
    assert rows(free, "SELECT email FROM users") == [{"email": "a@mail.com"}]


def test_a16_what_the_thief_left_open_is_gone_after_the_undoing(free: App) -> None:
    """A pending further change, a magic link, a reset and a set password of theirs are worth nothing."""
    client = Client(free)
    client.register()
    path = undo_link(free)
    thief = client.login(NEW)
    left = [change_link(free, EVIL, NEW), magic_link(free, NEW), reset_link(free, NEW), verify_link(free, NEW)]
    client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=thief["access_token"])
    left += [magic_link(free, NEW), reset_link(free, NEW), change_link(free, EVIL, NEW, NEW_PASSWORD)]
    assert use(free, path).status == 200
    for other in left:
        assert use(free, other).status == 410
    assert [client.login(email, password).status for email in (EMAIL, NEW, EVIL) for password in (PASSWORD, NEW_PASSWORD)] == [401] * 6
    assert rows(free, "SELECT email FROM users") == [{"email": EMAIL}]


@pytest.mark.parametrize("settings", [{}, HIDE])
def test_a16_a_thief_cannot_block_the_undoing_by_registering_the_old_address(
    tmp_path: Path, world: FakeWorld, settings: dict[str, str]
) -> None:
    """An account that nobody has confirmed does not keep the former owner of its address from taking their own account back."""
    with running(tmp_path, world, **settings, **UNLIMITED) as app:
        client = Client(app)
        user_id = add(app, EMAIL, confirmed=True)
        path = undo_link(app)
        assert client.post("/register", {"email": EMAIL, "password": WRONG}).status in (201, 202, 409)
        assert use(app, path).status == 200
        assert rows(app, "SELECT id FROM users WHERE email = ?", EMAIL) == [{"id": user_id}]
        assert client.login(EMAIL, WRONG).status == 401


@pytest.mark.parametrize("days", [7, 8])
def test_a16_the_old_address_has_seven_days(free: App, world: FakeWorld, days: int) -> None:
    """Told at once, by its own mail; afterwards the change stands."""
    Client(free).register()
    path = undo_link(free)
    assert "7 days" in mails(free)[-1]
    world.advance(days * 86_400 - 1 if days == 7 else 7 * 86_400)
    assert use(free, path).status == (200 if days == 7 else 410)
    assert rows(free, "SELECT email FROM users") == [{"email": EMAIL if days == 7 else NEW}]


@pytest.mark.parametrize("act", ["reset", "undo"])
def test_a14_a_session_does_not_outlive_what_the_mailbox_decides(free: App, act: str) -> None:
    """Access and refresh tokens of before are refused at the next request."""
    client = Client(free)
    client.register()
    confirm(free)
    tokens = [client.login() for _ in range(2)]
    path = reset_link(free) if act == "reset" else undo_link(free)
    assert client.get("/user", token=tokens[0]["access_token"]).status == 200
    assert use(free, path).status == 200
    for token in tokens:
        assert client.get("/user", token=token["access_token"]).status == 401
        assert client.refresh(token["refresh_token"]).status == 401


# A18


def test_a18_nothing_of_a_deleted_account_reaches_the_next_one_at_its_address(free: App) -> None:
    """Its undo, change, reset, magic and confirmation links, its waiting letters, and its devices are gone with it."""
    client = Client(free, keep_cookies=True)
    client.register("first@mail.com")
    old = [undo_link(free, EMAIL, "first@mail.com")]
    first = client.login(EMAIL)["user"]
    old += [change_link(free, NEW, EMAIL), reset_link(free), magic_link(free), verify_link(free)]
    device = client.cookies["authsvc_device"]
    client.post("/password/forgot", {"email": EMAIL})
    removal.delete(free.core, first["id"], CLI, EVERYTHING)
    count = len(mails(free))
    second = Client(free, ip=network(5)).register()["user"]
    assert len(mails(free)) == count, "the letter that waited is gone"
    for path in old:
        assert use(free, path).status == 410
    assert rows(free, "SELECT id, email FROM users") == [{"id": second["id"], "email": EMAIL}]
    stranger = Client(free, ip=network(6), keep_cookies=True, cookies={"authsvc_device": device})
    assert stranger.login().status == 200
    assert letters(free)[-1] == ("new_device", EMAIL)
