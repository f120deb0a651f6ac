"""Attacks on links and codes: section C of the attack list, one test or small group for each number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from authsvc.app import App
from authsvc.events import CLI
from authsvc.flows import removal, users
from authsvc.primitives import links
from authsvc.rules.access import EVERYTHING
from tests.letterbox import (
    ASK,
    BROWSER,
    JSON_ONLY,
    NEW,
    NEW_PASSWORD,
    UNLIMITED,
    body_for,
    change_link,
    code,
    confirm,
    counts,
    link,
    magic_link,
    reset_link,
    rows,
    state,
    undo_link,
    use,
    verify_link,
)
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, running, together

ORIGIN = "https://app.example"
KINDS = list(ASK)
HTML = {"Accept": "text/html"}


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Any:
    """An app without limits, for tests that are not about them."""
    with running(tmp_path, world, app_origins=ORIGIN, **UNLIMITED) as app:
        yield app


def network(number: int) -> str:
    """An address in a /24 of its own."""
    return f"10.0.{number}.7"


def cookies(answer: Answer) -> list[str]:
    return [value.partition("=")[0] for value in answer.header_list("Set-Cookie")]


def bound(app: App) -> dict[str, str]:
    """The binding cookie of the newest challenge."""
    (row,) = rows(app, "SELECT id FROM challenges ORDER BY rowid DESC LIMIT 1")
    return {"Cookie": f"authsvc_magic={links.bind(app.core.keyring.current, row['id'])}"}


def worked(app: App, kind: str) -> list[dict[str, Any]]:
    """Whether a link did what it is for: a sign-in, a password, a confirmation, a new address, the old one."""
    done = {
        "magic": "magic.used",
        "reset": "password.reset",
        "verify": "email.verified",
        "change": "email.changed",
        "undo": "email.changed",
    }
    like = '%"undone":true%' if kind == "undo" else "%"
    return rows(app, "SELECT id FROM events WHERE action = ? AND data LIKE ?", done[kind], like)


# C1


@pytest.mark.parametrize("kind", KINDS)
def test_c1_what_only_looks_at_a_link_spends_nothing(free: App, kind: str) -> None:
    """Scanners, previews and prefetching browsers get a page without cookies; not one row changes; the link then works."""
    client = Client(free)
    client.register()
    path = ASK[kind](free)
    binding = bound(free)
    foreign = bound_elsewhere(free)
    looks: list[tuple[str, dict[str, str]]] = [
        ("GET", {}),
        ("GET", {"Accept": "*/*"}),
        ("GET", HTML),
        ("GET", BROWSER | {"User-Agent": "Mozilla/5.0 (compatible; SafeLinks)"}),
        ("GET", {"Accept": "application/json, text/plain, */*"}),
        ("GET", {"Accept": "application/json;q=1"}),
        ("GET", {"Accept": "application/json, text/html"}),
        ("GET", {"Accept": "application/*"}),
        ("GET", {"Accept": "image/avif,image/*;q=0.8"}),
        ("GET", binding),
        ("GET", binding | {"Accept": "*/*"}),
        ("GET", BROWSER | foreign),
        ("GET", BROWSER | {"Cookie": "authsvc_magic="}),
        ("GET", BROWSER | {"Cookie": f"authsvc_magic={path.rpartition('/')[2]}"}),
        ("GET", BROWSER | {"Cookie": "authsvc_magic=\u00e9"}),
        ("GET", JSON_ONLY | {"Purpose": "prefetch"}),
        *[
            ("GET", BROWSER | binding | {name: value})
            for name, value in (
                ("Sec-Purpose", "prefetch"),
                ("Sec-Purpose", "prefetch;prerender"),
                ("Purpose", "prefetch"),
                ("Purpose", "preview"),
                ("X-Moz", "prefetch"),
            )
        ],
        ("HEAD", {}),
        ("HEAD", HTML),
        ("HEAD", BROWSER | binding),
        ("HEAD", JSON_ONLY),
    ]
    before = state(free)
    for method, headers in looks:
        answer = client.call(method, path, headers=headers)
        assert (answer.status, cookies(answer), answer.header("Location")) == (200, [], None), (method, headers)
        assert EMAIL.encode() not in answer.body
    assert state(free) == before
    assert use(free, path).status == 200
    assert len(worked(free, kind)) == 1


def bound_elsewhere(app: App) -> dict[str, str]:
    """The binding cookie of somebody else's challenge."""
    Client(app).post("/login/magic", {"email": "else@mail.com"})
    return bound(app)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("kind", KINDS)
def test_c1_no_other_method_spends_a_link(free: App, kind: str, method: str) -> None:
    """They are not for links: 405, or for OPTIONS an answer that does nothing."""
    Client(free).register()
    path = ASK[kind](free)
    before = state(free)
    answer = Client(free).call(method, path, headers=JSON_ONLY)
    assert answer.status == (204 if method == "OPTIONS" else 405)
    assert state(free) == before


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "reset"])
def test_c1_a_program_that_names_json_alone_uses_the_link(free: App, kind: str) -> None:
    """Exactly `Accept: application/json` is no scanner's."""
    Client(free).register()
    path = ASK[kind](free)
    assert Client(free).get(path, headers={"Accept": " Application/JSON "}).status == 200
    assert len(worked(free, kind)) == 1
    assert Client(free).get(path, headers=JSON_ONLY).status == 410


def test_c1_looking_at_a_reset_link_never_sets_anything(free: App) -> None:
    """Whatever the caller accepts and keeps, a GET only tells."""
    Client(free).register()
    path = reset_link(free)
    before = state(free)
    for headers in (JSON_ONLY, JSON_ONLY | bound(free), BROWSER | bound(free)):
        assert Client(free).get(f"{path}?password={NEW_PASSWORD}", headers=headers).status == 200
    assert state(free) == before


def test_c1_the_browser_that_asked_is_signed_in_by_its_click(free: App) -> None:
    """The binding cookie of the asking is enough for a GET; it works once."""
    browser = Client(free, keep_cookies=True)
    browser.post("/login/magic", {"email": EMAIL, "redirect_to": f"{ORIGIN}/in"})
    path = link(free)
    answer = browser.get(path, headers=BROWSER | {"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.header("Location")) == (303, f"{ORIGIN}/in")
    assert cookies(answer) == ["authsvc_access", "authsvc_refresh", "authsvc_device"]
    assert browser.get("/user")["email"] == EMAIL
    assert browser.get(path, headers=BROWSER).status == 410


# C2


def test_c2_a_click_on_another_device_signs_in_that_device_only(free: App) -> None:
    """Whoever asked for the victim's link gets nothing by waiting: no cookie, no code's use, no second use of the link."""
    waiting = Client(free, ip=network(1), keep_cookies=True)
    challenge_id = waiting.post("/login/magic", {"email": EMAIL})["challenge_id"]
    victim = Client(free, ip=network(2), keep_cookies=True)
    path, digits = link(free), code(free)
    shown = victim.get(path, headers=BROWSER)
    assert (shown.status, cookies(shown)) == (200, [])
    assert victim.post(path, headers=BROWSER).status == 303
    assert victim.get("/user")["email"] == EMAIL
    assert waiting.get("/user").status == 401
    assert waiting.get(path, headers=BROWSER).status == 410
    again = waiting.post("/otp/verify", {"challenge_id": challenge_id, "code": digits})
    assert (again.status, again.code, cookies(again)) == (410, "code_expired", [])
    assert set(waiting.cookies) == {"authsvc_magic"}
    assert rows(free, "SELECT ip FROM sessions") == [{"ip": network(2)}]


# C3


@pytest.mark.parametrize("kind", KINDS)
def test_c3_a_link_works_once(free: App, kind: str) -> None:
    """The second use is 410 and does nothing, whoever asks."""
    Client(free).register()
    path = ASK[kind](free)
    assert use(free, path).status == 200
    before = state(free)
    for answer in (use(free, path), use(free, path, ip=network(9)), Client(free).get(path, headers=JSON_ONLY)):
        assert (answer.status, answer.code, cookies(answer)) == (410, "link_invalid", [])
    assert state(free) == before


@pytest.mark.parametrize("kind", KINDS)
def test_c3_fifty_uses_at_once_give_one_success(free: App, kind: str) -> None:
    """Of fifty simultaneous POSTs one succeeds, all others are 410 (or find too many hashes queued); its effect is there once."""
    Client(free).register()
    path = ASK[kind](free)
    sessions, outbox = counts(free, "sessions", "outbox")
    answers = together(50, lambda number: use(free, path, ip=network(number)))
    assert count(answers, 200) == 1
    assert {answer.code for answer in answers if answer.status != 200} <= {"link_invalid", "busy"}
    assert kind == "reset" or count(answers, 410) == 49
    assert len(worked(free, kind)) == 1
    new = {"magic": [1, 1], "reset": [0, 2], "verify": [0, 0], "change": [0, 1], "undo": [0, 1]}[kind]  # of an unconfirmed account
    assert counts(free, "sessions", "outbox") == [sessions + new[0], outbox + new[1]]


def test_c3_fifty_programs_that_get_a_link_at_once_open_one_session(free: App) -> None:
    """The same by GET, for an address without an account: one account, one session."""
    path = magic_link(free)
    answers = together(50, lambda number: Client(free, ip=network(number)).get(path, headers=JSON_ONLY))
    assert sorted(answer.status for answer in answers) == [200] + [410] * 49
    assert counts(free, "users", "sessions") == [1, 1]


def change_password(app: App) -> None:
    token = Client(app).login()["access_token"]
    assert Client(app).post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=token).status == 200


def reset(app: App) -> None:
    assert use(app, reset_link(app)).status == 200


def reset_confirmed(app: App) -> None:
    """Of a confirmed account, so that no reclaim does the work."""
    confirm(app)
    reset(app)


def change_address(app: App) -> None:
    assert use(app, change_link(app, "elsewhere@mail.com")).status == 200


def undo_change(app: App) -> None:
    assert use(app, undo_link(app, "elsewhere@mail.com")).status == 200


def sign_in_by_mail(app: App) -> None:
    assert use(app, magic_link(app)).status == 200


def start_again(app: App) -> None:
    (user,) = rows(app, "SELECT id FROM users")
    removal.delete(app.core, user["id"], CLI, EVERYTHING)
    Client(app).register()


def disable(app: App) -> None:
    (user,) = rows(app, "SELECT id FROM users")
    users.set_status(app.core, user["id"], "disabled", CLI)


ENDINGS: list[tuple[str, Callable[[App], None]]] = [
    ("magic", change_password),
    ("reset", change_password),
    ("change", change_password),
    ("magic", reset),
    ("reset", reset),
    ("change", reset),
    ("verify", reset),
    ("magic", reset_confirmed),
    ("change", reset_confirmed),
    ("verify", sign_in_by_mail),
    ("reset", sign_in_by_mail),
    ("change", sign_in_by_mail),
    ("magic", change_address),
    ("reset", change_address),
    ("verify", change_address),
    ("change", change_address),
    ("magic", undo_change),
    ("reset", undo_change),
    ("change", undo_change),
    ("reset", disable),
    *[(kind, start_again) for kind in KINDS],
    *[(kind, ASK[kind]) for kind in KINDS if kind not in ("change", "undo")],
    ("change", lambda app: change_link(app, "third@mail.com")),
    ("change", change_link),
]


@pytest.mark.parametrize(("kind", "act"), ENDINGS, ids=[f"{kind}-{act.__name__}" for kind, act in ENDINGS])
def test_c3_what_came_after_ends_a_link(free: App, kind: str, act: Callable[[App], None]) -> None:
    """After a new password, a reset, a newer link, another address, a sign-in that proved the address, or a new account: 410."""
    Client(free).register()
    path = ASK[kind](free)
    act(free)
    before = state(free)
    for answer in (use(free, path), Client(free).get(path, headers=JSON_ONLY)):
        assert (answer.status, answer.code, cookies(answer)) == (410, "link_invalid", [])
    assert state(free) == before


@pytest.mark.parametrize("kind", KINDS)
def test_c3_a_link_runs_out_and_does_not_come_back(free: App, world: FakeWorld, kind: str) -> None:
    """At its end it is 410; one that was used stays used though the clock is set back (ATTACKS B13)."""
    Client(free).register()
    path = ASK[kind](free)
    seconds = {"magic": 600, "reset": 1_800, "verify": 86_400, "change": 86_400, "undo": 604_800}[kind]
    world.advance(seconds)
    assert use(free, path).code == "link_invalid"
    world.advance(-1)
    assert use(free, path).status == 200
    world.advance(-3_600)
    assert use(free, path).code == "link_invalid"


@pytest.mark.parametrize("kind", KINDS)
def test_c3_a_link_with_one_character_changed_is_none(free: App, kind: str) -> None:
    """Each single character counts, in the id and in the proof; nothing is spent by trying."""
    Client(free).register()
    path = ASK[kind](free)
    before = state(free)
    head, token = path.rpartition("/")[0], path.rpartition("/")[2]
    for place, char in enumerate(token):
        changed = token[:place] + ("A" if char != "A" else "B") + token[place + 1 :]
        assert use(free, f"{head}/{changed}").status == 410
        if char.swapcase() != char:
            assert use(free, f"{head}/{token[:place]}{char.swapcase()}{token[place + 1 :]}").status == 410
    for other in (token[:-1], token + "A", token + "=", token + ".", f" {token}", f"{token} ", f"{token}\n", "chl_" + token):
        assert use(free, f"{head}/{other}").status == 410, other
    assert use(free, f"{path}/").status == 404
    assert state(free) == before
    assert use(free, path).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_c3_a_link_is_good_for_its_own_path_only(free: App, kind: str) -> None:
    """The token of one purpose at the path of another is 410, by POST and by GET, and spends nothing."""
    Client(free).register()
    path = ASK[kind](free)
    token = path.rpartition("/")[2]
    before = state(free)
    for place in ("/login/magic", "/password/reset", "/email/verify", "/email/undo"):
        if not path.startswith(place):
            other = f"{place}/{token}"
            assert use(free, other).code == "link_invalid"
            assert Client(free).get(other, headers=JSON_ONLY).code == "link_invalid"
    assert Client(free).get("/user", token=token).code == "invalid_token"
    assert Client(free).refresh(token).code == "invalid_token"
    assert state(free) == before
    assert use(free, path).status == 200


def test_c3_a_link_asked_before_there_was_an_account_is_no_way_into_it(free: App) -> None:
    """A reset or confirmation that was asked for an unknown address never counts for the account made since."""
    client = Client(free)
    paths = []
    for ask, purpose, path in (("/password/forgot", "reset", "/password/reset"), ("/email/verify", "verify", "/email/verify")):
        client.post(ask, {"email": EMAIL})
        (row,) = rows(free, "SELECT id FROM challenges WHERE purpose = ?", purpose)
        paths.append(f"{path}/{links.mint(free.core.keyring.current, row['id'], purpose)}")
    client.register()
    for path in paths:
        assert use(free, path).code == "link_invalid"
    assert client.login()["user"]["email_verified"] is False


def test_c3_a_failed_attempt_to_set_a_password_leaves_the_link_and_one_success(free: App) -> None:
    """Fifty at once, half of them with a password that may not be set: those are 422, and of the others one succeeds."""
    Client(free).register()
    path = reset_link(free)
    bodies = [{"password": "short"}, {"password": NEW_PASSWORD}]
    answers = together(50, lambda number: Client(free, ip=network(number)).post(path, bodies[number % 2]))
    assert count(answers, 200) == 1
    assert {answer.status for answer in answers[::2]} <= {410, 422}
    assert {answer.status for answer in answers[1::2]} <= {200, 410, 503}


def count(answers: list[Answer], status: int) -> int:
    return sum(answer.status == status for answer in answers)


# C5


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        f"{ORIGIN}@evil.example",
        f"{ORIGIN}.evil.example",
        f"{ORIGIN}\\@evil.example",
        f"{ORIGIN}:443@evil.example",
        f"{ORIGIN}\t",
        "javascript:alert(1)",
        quote(ORIGIN, safe=""),
        "https://аpp.example",
        ORIGIN.upper(),
        f"{ORIGIN}:444",
        "http://app.example",
        "/account",
        "",
    ],
)
def test_c5_a_foreign_target_is_refused_when_it_is_asked_for(free: App, target: str) -> None:
    """422 at /login/magic, /login, /register and their pages; nobody is mailed, signed in or redirected."""
    client = Client(free)
    client.register()
    before = state(free)
    wanted = f"redirect_to={quote(target, safe='')}"
    password = {"email": EMAIL, "password": PASSWORD}
    answers = [client.post("/login/magic", {"email": EMAIL, "redirect_to": target}, headers=headers) for headers in ({}, BROWSER)]
    for path in (f"/login?{wanted}", f"/register?{wanted}"):
        answers += [client.post(path, password), client.post(path, password, headers=BROWSER), client.get(path, headers=BROWSER)]
    assert [(answer.status, answer.header("Location"), cookies(answer)) for answer in answers] == [(422, None, [])] * 8
    assert state(free) == before


@pytest.mark.parametrize("origins", ["", "https://other.example"])
def test_c5_a_target_is_checked_again_by_nobody_but_was_checked_by_us(tmp_path: Path, world: FakeWorld, origins: str) -> None:
    """What was refused at the asking does not come back at the end of the flow: neither as a field nor as a query of the link."""
    with running(tmp_path, world, app_origins=origins, **UNLIMITED) as app:
        client = Client(app)
        path = magic_link(app)
        assert client.post(path, {"redirect_to": "https://evil.example/"}).status == 422
        answer = client.post(f"{path}?redirect_to=https://evil.example/", headers=BROWSER)
        assert (answer.status, answer.header("Location")) == (303, "/account")


# C6


def wrong(right: str) -> str:
    """Another code."""
    return f"{(int(right) + 1) % 1_000_000:06}"


def ask(app: App, email: str = EMAIL) -> tuple[str, str]:
    """A sign-in that waits for its code: the challenge and the code."""
    challenge_id = Client(app).post("/login/magic", {"email": email})["challenge_id"]
    return challenge_id, code(app, email)


def try_code(app: App, challenge_id: str, digits: str, ip: str = "192.0.2.1") -> Answer:
    return Client(app, ip=ip).post("/otp/verify", {"challenge_id": challenge_id, "code": digits})


def test_c6_twenty_guesses_at_once_are_five(free: App) -> None:
    """Five are compared, fifteen are not; then the right code is refused too, and the link still signs in."""
    Client(free).register()
    challenge_id, right = ask(free)
    answers = together(20, lambda number: try_code(free, challenge_id, wrong(right), network(number)))
    assert sorted((answer.status, answer.code) for answer in answers) == [(422, "code_invalid")] * 5 + [(429, "too_many_attempts")] * 15
    assert rows(free, "SELECT attempts FROM challenges") == [{"attempts": 5}]
    assert actions(free).count("otp.failed") == 20
    assert try_code(free, challenge_id, right).code == "too_many_attempts"
    assert rows(free, "SELECT id FROM sessions WHERE amr = 'otp'") == []
    assert use(free, link(free)).status == 200


def test_c6_among_parallel_guesses_the_right_one_needs_one_of_the_five(free: App) -> None:
    """At the fifth attempt, twenty at once: one is compared, and only if it is the right code somebody is signed in."""
    challenge_id, right = ask(free)
    for _ in range(4):
        assert try_code(free, challenge_id, wrong(right)).status == 422
    answers = together(20, lambda number: try_code(free, challenge_id, right if number else wrong(right), network(number)))
    compared = [answer for answer in answers if answer.status in (200, 422)]
    assert len(compared) == 1
    assert rows(free, "SELECT attempts FROM challenges") == [{"attempts": 5}]
    assert len(rows(free, "SELECT id FROM sessions")) == (compared[0].status == 200)


def test_c6_the_right_code_twenty_times_at_once_signs_in_once(free: App) -> None:
    """One TokenResponse, one session; all others are told that the code is over."""
    challenge_id, right = ask(free)
    answers = together(20, lambda number: try_code(free, challenge_id, right, network(number)))
    assert count(answers, 200) == 1
    assert {answer.code for answer in answers if answer.status != 200} <= {"code_expired", "too_many_attempts"}
    assert counts(free, "sessions", "users") == [1, 1]
    assert actions(free).count("magic.used") == 1


@pytest.mark.parametrize("attempt", range(1, 7))
def test_c6_each_try_is_counted_by_its_write(free: App, attempt: int) -> None:
    """Right or wrong, in its place or out of it, a try is one attempt; the fifth may still be right, the sixth not."""
    user = Client(free).register()
    verify_link(free)
    (challenge,) = rows(free, "SELECT id FROM challenges")
    right = code(free)
    for number in range(1, attempt):
        answer = try_code(free, challenge["id"], right if number % 2 else wrong(right))
        assert answer.status == (401 if number % 2 else 422), "right, but nobody is signed in"
        assert rows(free, "SELECT attempts FROM challenges") == [{"attempts": number}]
    last = Client(free).post("/otp/verify", {"challenge_id": challenge["id"], "code": right}, token=user["access_token"])
    assert last.status == (200 if attempt <= 5 else 429)
    assert rows(free, "SELECT attempts FROM challenges") == [{"attempts": min(attempt, 5)}]


def test_c6_a_newer_mail_gives_no_more_guesses_at_the_older_code(free: App) -> None:
    """The code of an older sending is over, and is none for the newer challenge; nor is that of another address."""
    old_id, old = ask(free)
    other_id, other = ask(free, "other@mail.com")
    new_id, new = ask(free)
    assert try_code(free, old_id, old).code == "code_expired"
    assert try_code(free, new_id, old).code == "code_invalid"
    assert try_code(free, new_id, other).code == "code_invalid"
    assert try_code(free, other_id, new).code == "code_invalid"
    assert rows(free, "SELECT id FROM sessions") == []
    assert try_code(free, new_id, new).status == 200
    assert try_code(free, other_id, other).status == 200


@pytest.mark.parametrize("known", [True, False])
def test_c6_an_account_has_twenty_guesses_a_day_over_all_its_challenges(tmp_path: Path, world: FakeWorld, known: bool) -> None:
    """After four challenges are used up the right code of a fifth is refused, for known and unknown addresses alike; tomorrow
    it is not, another account is untouched, and the link works."""
    with running(tmp_path, world, **(UNLIMITED | {"limit_code_account": "20/86400s"})) as app:
        if known:
            Client(app).register()
        for number in range(4):
            challenge_id, right = ask(app)
            assert {try_code(app, challenge_id, wrong(right), network(number)).code for _ in range(5)} == {"code_invalid"}
        challenge_id, right = ask(app)
        assert try_code(app, challenge_id, right, network(9)).code == "too_many_attempts"
        assert rows(app, "SELECT id FROM sessions WHERE amr = 'otp'") == []
        assert try_code(app, *ask(app, "other@mail.com")).status == 200
        ask(app)
        assert use(app, link(app)).status == 200
        world.advance(86_400)
        assert try_code(app, *ask(app)).status == 200


def test_c6_the_guesses_of_a_day_are_counted_over_threads(tmp_path: Path, world: FakeWorld) -> None:
    """Four challenges with five guesses each and a bound of seven, all at once: seven are compared."""
    with running(tmp_path, world, **(UNLIMITED | {"limit_code_account": "7/86400s"})) as app:
        Client(app).register()
        ids = [ask(app)[0]]
        ids += [Client(app).post("/email/verify", {"email": EMAIL})["challenge_id"]]
        answers = together(10, lambda number: try_code(app, ids[number % 2], "000000", network(number)))
        assert sorted(answer.code for answer in answers) == ["code_invalid"] * 7 + ["too_many_attempts"] * 3


# C8


@pytest.mark.parametrize("headers", [{}, JSON_ONLY, BROWSER])
def test_c8_a_reset_signs_nobody_in(free: App, headers: dict[str, str]) -> None:
    """No cookie, no token, no session: whoever reset the password has yet to sign in, with all that this asks for."""
    client = Client(free, keep_cookies=True)
    client.register()
    path = reset_link(free)
    answer = client.post(path, body_for(path), headers=headers)
    assert (answer.status, cookies(answer), answer.header("Location")) == (200, [], None)
    assert b"token" not in answer.body
    assert client.get("/user").status == 401
    assert rows(free, "SELECT id FROM sessions WHERE ended_at IS NULL") == []
    assert "login.succeeded" not in actions(free)


def test_c8_a_confirmed_or_restored_address_signs_nobody_in(free: App) -> None:
    """Neither the link of a confirmation, nor of a change, nor of its undoing opens a session."""
    Client(free).register()
    for path_of in (verify_link, undo_link):
        path = path_of(free)
        before = counts(free, "sessions")
        answer = use(free, path)
        assert (answer.status, cookies(answer)) == (200, [])
        assert b"access_token" not in answer.body
        assert counts(free, "sessions") == before
    assert Client(free).login(NEW).status == 401
