"""Notices to the owner: of a new password, a sign-in from a new device, a new address, an account made safe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import login, users
from authsvc.primitives import devices
from authsvc.primitives.keyring import Key
from authsvc.rules.access import EVERYTHING
from tests.letterbox import NEW, NEW_PASSWORD, UNLIMITED, confirm, letters, magic_link, mails, reset_link, rows, undo_link, use
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, running

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1"
HOME, NEXT_DOOR, ABROAD = "192.0.2.1", "192.0.2.200", "203.0.113.5"


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


def sign_in(app: App, agent: str = FIREFOX, ip: str = HOME, cookie: str | None = None, password: str = PASSWORD) -> Any:
    headers = {"User-Agent": agent} | ({"Cookie": cookie} if cookie is not None else {})
    answer = Client(app, ip=ip).post("/login", {"email": EMAIL, "password": password}, headers=headers)
    assert answer.status == 200
    return answer


def device(answer: Any) -> str:
    """The cookie by which this browser is known."""
    (cookie,) = [value for value in answer.header_list("Set-Cookie") if value.startswith("authsvc_device=")]
    return cookie.partition(";")[0]


def notices(app: App) -> list[str]:
    return [letter for letter, to in letters(app) if to == EMAIL]


def register(app: App) -> Any:
    return Client(app, ip=HOME).post("/register", {"email": EMAIL, "password": PASSWORD}, headers={"User-Agent": FIREFOX})


@pytest.mark.parametrize(
    ("agent", "ip", "told"),
    [(FIREFOX, HOME, 0), (FIREFOX, NEXT_DOOR, 0), (SAFARI, HOME, 1), (FIREFOX, ABROAD, 1), (SAFARI, ABROAD, 1), ("", HOME, 1)],
)
def test_a_sign_in_from_a_new_device_is_told(free: App, agent: str, ip: str, told: int) -> None:
    """Another program or another network is new; the same ones are not, nor is a second time."""
    register(free)
    sign_in(free, agent, ip)
    assert notices(free) == ["new_device"] * told
    sign_in(free, agent, ip)
    assert notices(free) == ["new_device"] * told


def test_the_notice_says_when_from_where_and_with_what(free: App) -> None:
    """In words of ours: nothing that a stranger sent as the name of their program is in it."""
    register(free)
    sign_in(free, SAFARI + " https://evil.example/", ABROAD)
    (payload,) = [json.loads(row["payload"]) for row in rows(free, "SELECT payload FROM outbox")]
    assert payload["facts"] == {"when": free.core.world.now(), "device": "Safari on iPhone", "ip": ABROAD}
    (mail,) = mails(free)
    assert "Safari on iPhone" in mail
    assert ABROAD in mail
    assert "evil" not in mail


def test_the_first_sign_in_is_no_news(free: App) -> None:
    """An account that was made for somebody is not warned of its owner."""
    from authsvc.flows import registration
    from authsvc.flows.users import NewUser
    from authsvc.primitives import emails

    registration.create(free.core, NewUser(emails.parse(EMAIL)), PASSWORD, CLI, EVERYTHING)
    sign_in(free)
    assert notices(free) == []
    sign_in(free, SAFARI)
    assert notices(free) == ["new_device"]


def test_a_known_browser_is_not_told_of_wherever_it_goes(free: App, world: FakeWorld) -> None:
    """The cookie of an earlier sign-in is enough, for half a year."""
    register(free)
    cookie = device(sign_in(free))
    sign_in(free, FIREFOX.replace("128", "129"), ABROAD, cookie)
    assert notices(free) == []
    world.advance(180 * 86_400 + 1)
    sign_in(free, "another", "198.51.100.1", cookie)
    assert notices(free) == ["new_device"]


@pytest.mark.parametrize("kind", ["other user", "other key", "later", "cut", "empty", "noise", "magic"])
def test_a_forged_or_foreign_device_silences_nothing(free: App, world: FakeWorld, kind: str) -> None:
    """What we did not make for this user is as good as nothing, and no error."""
    user_id = register(free)["user"]["id"]
    other = Client(free, ip=ABROAD).register("other@mail.com", options={"setCookie": True})
    mine = devices.mint(free.core.keyring.current, user_id, world.now())
    value = {
        "other user": device(other).partition("=")[2],
        "other key": devices.mint(Key(b"x" * 32), user_id, world.now()),
        "later": mine.replace(str(world.now() // 1000), str(world.now() // 1000 + 1)),
        "cut": mine[:-1],
        "empty": "",
        "noise": "\u00e9" * 50,
        "magic": magic_link(free).rpartition("/")[2],
    }[kind]
    sign_in(free, SAFARI, ABROAD, f"authsvc_device={value}")
    assert notices(free).count("new_device") == 1
    sign_in(free, "third", "198.51.100.7", f"authsvc_device={mine}")
    assert notices(free).count("new_device") == 1


def test_a_sign_in_by_mail_tells_nothing_that_its_owner_does_not_know(free: App) -> None:
    """Whoever has the mailbox has just used it; the browser is known from then on."""
    register(free)
    confirm(free)
    answer = Client(free, ip=ABROAD).post(magic_link(free), headers={"User-Agent": SAFARI})
    assert "new_device" not in notices(free)
    sign_in(free, "other program", "198.51.100.7", device(answer))
    assert "new_device" not in notices(free)


def test_a_failed_sign_in_is_no_sign_in(free: App) -> None:
    """Nobody is mailed by guessing."""
    register(free)
    assert Client(free, ip=ABROAD).login(password=NEW_PASSWORD).status == 401
    assert letters(free) == []


@pytest.mark.parametrize("way", ["change", "reset", "command line"])
def test_a_new_password_is_told(free: App, way: str) -> None:
    """Once, with from where; a refused one is not."""
    token = register(free)["access_token"]
    confirm(free)
    user = users.find(free.core, rows(free, "SELECT id FROM users")[0]["id"]).user
    client = Client(free, ip=ABROAD)
    if way == "change":
        refused = {"current_password": NEW_PASSWORD, "new_password": NEW_PASSWORD}
        assert client.post("/password/change", refused, token=token).status == 401
        assert "password_changed" not in notices(free)
        done = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=token)
        assert done.status == 200
    elif way == "reset":
        assert use(free, reset_link(free), ip=ABROAD).status == 200
    else:
        login.set_password(free.core, user, NEW_PASSWORD, CLI)
    assert notices(free).count("password_changed") == 1
    (mail,) = [mail for mail in mails(free) if "password" in mail.partition("\n")[0] and "changed" in mail.partition("\n")[0]]
    assert (ABROAD in mail) is (way != "command line")
    assert "/password/forgot" in mail
    assert NEW_PASSWORD not in mail


def test_a_new_address_is_told_to_the_old_one(free: App) -> None:
    """With the link that takes it back, and the new address masked; the new one gets no such letter."""
    register(free)
    path = undo_link(free)
    mail = mails(free)[-1]
    assert letters(free)[-1] == ("email_changed", EMAIL)
    assert path in mail
    assert NEW not in mail
    assert path not in "".join(mails(free, NEW))


def test_an_account_made_safe_is_told_to_its_owner(free: App) -> None:
    """When, and how to get a password; only where something was dropped."""
    register(free)
    use(free, magic_link(free))
    assert notices(free).count("account_reclaimed") == 1
    mail = mails(free)[-1]
    assert "/password/forgot" in mail
    assert Client(free).post(magic_link(free, "fresh@mail.com")).status == 200
    assert ("account_reclaimed", "fresh@mail.com") not in letters(free)


def test_notices_do_not_wait_for_the_limit_of_asked_for_mail(tmp_path: Path, world: FakeWorld) -> None:
    """A thief cannot use up the mails of an hour so that the owner hears nothing."""
    with running(tmp_path, world, **(UNLIMITED | {"limit_mail_address": "1/3600s"})) as app:
        token = register(app)["access_token"]
        for _ in range(3):
            Client(app).post("/password/forgot", {"email": EMAIL})
        Client(app).post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=token)
        sign_in(app, SAFARI, ABROAD, password=NEW_PASSWORD)
        assert notices(app) == ["reset", "password_changed", "new_device"]
