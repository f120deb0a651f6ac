"""Attacks on accounts and passwords: section A of the attack list, one test or small group for each number."""

from __future__ import annotations

import json
import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.events import CLI
from authsvc.flows import login, removal, users
from authsvc.primitives import emails
from authsvc.problems import Invalid, Problem
from authsvc.rules.access import ADMIN, EVERYTHING
from authsvc.store.users import ACTIVE, DISABLED
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

T = TypeVar("T")

OTHER = "other@mail.com"
NEW_PASSWORD = "copper-lantern-27"
WRONG = "amber-meadow-55"
UNKNOWN = "nobody@mail.com"
NO_PASSWORD = "passwordless@mail.com"
OUT = "disabled@mail.com"
KINDS = (EMAIL, UNKNOWN, OUT, NO_PASSWORD)
UNLIMITED = dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")
UNTOUCHED = "SELECT * FROM users ORDER BY id"


@pytest.fixture
def open_app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    """An app without limits, for tests that are not about them."""
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


def network(number: int) -> str:
    """An address in a /24 of its own."""
    return f"10.{number // 256}.{number % 256}.7"


def rows(app: App, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What lies in the database, read with a connection of our own."""
    connection = sqlite3.connect(app.core.store.path)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def seen(answer: Answer) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
    """Everything a stranger can compare: status, body and headers, without the id of the request."""
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status, body, sorted(header for header in answer.headers if header[0] not in ("X-Request-Id", "Content-Length"))


def four_kinds(app: App) -> None:
    """An account with a password, one that is disabled and one without a password; the fourth kind is nobody's address."""
    for number, email in enumerate((EMAIL, OUT, NO_PASSWORD)):
        user = Client(app, ip=network(60_000 + number)).register(email)["user"]
        if email == OUT:
            users.set_status(app.core, user["id"], DISABLED, CLI)
        if email == NO_PASSWORD:
            with app.core.store.write() as tx:
                tx.users.change(user["id"], app.core.world.now(), password_hash=None)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Argon2 calls of this test, each as its name and parameters."""
    from argon2 import low_level

    calls: list[str] = []
    verify, make = low_level.verify_secret, low_level.hash_secret

    def count_verify(encoded: bytes, *args: Any) -> bool:
        calls.append(f"verify {encoded.decode().split('$')[3]}")
        return verify(encoded, *args)

    def count_make(*args: Any, **more: Any) -> bytes:
        calls.append("hash")
        return make(*args, **more)

    monkeypatch.setattr(low_level, "verify_secret", count_verify)
    monkeypatch.setattr(low_level, "hash_secret", count_make)
    return calls


@contextmanager
def written(app: App) -> Iterator[list[str]]:
    """The kinds of statements that the writing connection runs meanwhile."""
    statements: list[str] = []
    connection = app.core.store._writer._connection
    assert connection is not None
    connection.set_trace_callback(lambda sql: statements.append(" ".join(sql.split()[:3])))
    try:
        yield statements
    finally:
        connection.set_trace_callback(None)


def test_a1_a_failed_login_never_tells_whether_the_account_exists(app: App) -> None:
    """Wrong password, unknown address, disabled account and account without a password get one answer, headers included."""
    four_kinds(app)
    before = len(event_rows(app))
    answers = [[Client(app, ip=network(kind)).login(email, WRONG) for _ in range(3)] for kind, email in enumerate(KINDS)]
    first, *others = [[seen(answer) for answer in tries] for tries in answers]
    for other in others:
        assert other == first
    for answer in chain.from_iterable(answers):
        assert (answer.status, answer.code) == (401, "invalid_credentials")
        assert answer.header("RateLimit") is not None
        assert answer.header_list("Set-Cookie") == []
        assert not any(email.encode() in answer.body for email in KINDS)
    assert actions(app)[before:] == ["login.failed"] * 12


def test_a1_only_the_right_password_learns_that_an_account_is_disabled(client: Client, app: App) -> None:
    """A wrong password on a disabled account is the common refusal; `account_disabled` needs the right one."""
    four_kinds(app)
    assert client.login(OUT, WRONG).code == "invalid_credentials"
    assert client.login(OUT, PASSWORD).code == "account_disabled"


def test_a2_a_failed_login_does_the_same_work_for_every_kind_of_account(app: App, hashing: list[str]) -> None:
    """One hash with today's parameters, the same statements and one event, whether or not there is an account."""
    four_kinds(app)
    work = []
    for kind, email in enumerate(KINDS):
        hashing.clear()
        before = len(event_rows(app))
        with written(app) as statements:
            Client(app, ip=network(kind)).login(email, WRONG)
        shapes = [(row["action"], row["outcome"], row["data"], row["actor_label"] == email) for row in event_rows(app)[before:]]
        work.append((list(hashing), statements, shapes))
    first, *others = work
    assert len(first[0]) == 1
    assert first[0][0].startswith("verify m=64,t=1")
    assert first[1].count("INSERT INTO events") == 1
    assert first[1].count("COMMIT") == 2
    assert first[2] == [("login.failed", "failure", '{"reason":"credentials"}', True)]
    for other in others:
        assert other == first


@pytest.mark.parametrize(("delay", "tries"), [("0", 10), ("3/300s", 3)])
def test_a3_limits_slow_down_known_and_unknown_addresses_alike(tmp_path: Path, world: FakeWorld, delay: str, tries: int) -> None:
    """The tries of one network on one address run out, or have to wait, at the same point and in the same words for every kind
    of account."""
    with running(tmp_path, world, limit_login_delay=delay) as app:
        four_kinds(app)
        answers = [[Client(app, ip=network(kind)).login(email, WRONG) for _ in range(12)] for kind, email in enumerate(KINDS)]
    first, *others = [[seen(answer) for answer in tries] for tries in answers]
    assert [status for status, _, _ in first] == [401] * tries + [429] * (12 - tries)
    for other in others:
        assert other == first


def test_a3_the_limit_of_an_address_over_all_networks_counts_unknown_addresses_too(app: App) -> None:
    """Tries from everywhere run out after thirty for an account and for nobody alike."""
    four_kinds(app)
    runs = [[seen(Client(app, ip=network(1000 * kind + n)).login(email, WRONG)) for n in range(32)] for kind, email in enumerate(KINDS)]
    assert [status for status, _, _ in runs[0]] == [401] * 30 + [429] * 2
    for other in runs[1:]:
        assert other == runs[0]


def test_a4_one_account_tried_from_many_networks_is_protected(app: App, world: FakeWorld, hashing: list[str]) -> None:
    """After thirty tries from thirty networks, in whatever spelling, further tries are refused unhashed; waiting opens it again."""
    Client(app, ip=network(900)).register()
    Client(app, ip=network(900)).register(OTHER)
    spellings = (EMAIL, EMAIL.upper(), f" {EMAIL.title()}")
    for number in range(30):
        assert Client(app, ip=network(number)).login(spellings[number % 3], WRONG).status == 401
    hashing.clear()
    before = actions(app)
    for number in range(30, 33):
        refused = Client(app, ip=network(number)).login(spellings[number % 3], PASSWORD)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert int(refused.header("Retry-After") or 0) == refused["retry_after"] >= 1
        assert refused.header_list("Set-Cookie") == []
        assert "login_account" not in str(refused.headers)
    assert hashing == []
    assert actions(app) == [*before, "limit.hit"], "the owner is told once"
    assert Client(app, ip=network(40)).login(OTHER).status == 200
    world.advance(refused["retry_after"])
    assert Client(app, ip=network(41)).login().status == 200


@pytest.mark.parametrize(
    "address", ["192.0.2.{0}", "::ffff:192.0.2.{0}", "2001:db8:0:1::{0:x}", "2001:db8:0:1:{0:x}::1"], ids=["v4", "mapped", "v6", "v6-wide"]
)
def test_a4_many_accounts_tried_from_one_network_are_protected(app: App, address: str, hashing: list[str]) -> None:
    """A hundred addresses tried once each from one /24 or /64 use up that network's tries, and no other network's."""
    statuses = [Client(app, ip=address.format(n + 1)).login(f"user{n}@mail.com", WRONG).status for n in range(102)]
    assert statuses == [401] * 100 + [429] * 2
    assert len(hashing) == 100
    assert Client(app, ip="198.51.100.1").login("user101@mail.com", WRONG).status == 401
    assert Client(app, ip="2001:db8:0:2::1").login("user102@mail.com", WRONG).status == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "True-Client-IP", "CF-Connecting-IP"])
def test_a4_a_stranger_gets_no_new_budget_by_claiming_another_address(app: App, header: str) -> None:
    """Without declared proxies the peer's own address counts, whatever its headers say."""
    value = "for={}" if header == "Forwarded" else "{}"
    statuses = [
        Client(app).post("/login", {"email": EMAIL, "password": WRONG}, headers={header: value.format(network(n))}).status
        for n in range(11)
    ]
    assert statuses == [401] * 3 + [429] * 8
    assert {row["ip"] for row in event_rows(app)} == {"192.0.2.1"}


HOSTILE_PASSWORDS = {
    "long": "abcdefgh" * 128 + "i",
    "long-in-bytes": "é" * 513,
    "long-when-normalised": "\U0001d160" * 86,
    "60-kib": "x1y" * 20_000,
    "nul": "violet\0harbour-91",
    "high-surrogate": "violet-harbour-\ud83d",
    "low-surrogate": "\udc00violet-harbour",
    "number": 12345678901,
    "list": ["violet-harbour-91"],
    "object": {"$ne": ""},
    "true": True,
}
PASSWORD_FIELDS = {
    "register": ("/register", "password", {"email": OTHER}),
    "login": ("/login", "password", {"email": EMAIL}),
    "reauthenticate": ("/reauthenticate", "password", {}),
    "change-new": ("/password/change", "new_password", {"current_password": PASSWORD}),
    "change-current": ("/password/change", "current_password", {"new_password": NEW_PASSWORD}),
}


@pytest.mark.parametrize("where", PASSWORD_FIELDS)
def test_a6_hostile_passwords_are_refused_before_any_hashing(open_app: App, where: str, hashing: list[str]) -> None:
    """Overlong, malformed and non-text passwords are 422 (or 413) wherever one is taken, and cost no hash and no event."""
    path, field, rest = PASSWORD_FIELDS[where]
    client = Client(open_app)
    token = client.register()["access_token"]
    hashing.clear()
    before = actions(open_app), rows(open_app, UNTOUCHED)
    for name, password in HOSTILE_PASSWORDS.items():
        refused = client.post(path, {**rest, field: password}, token=token)
        assert (refused.status, refused.code) == (422, "invalid_request"), name
        assert [error["field"] for error in refused["errors"]] == [field], name
        assert refused["errors"][0]["code"] in ("too_long", "invalid", "wrong_type"), name
    mebibyte = client.post(path, {**rest, field: "x" * 2**20}, token=token)
    assert (mebibyte.status, mebibyte.code) == (413, "body_too_large")
    assert hashing == []
    assert (actions(open_app), rows(open_app, UNTOUCHED)) == before


@pytest.mark.parametrize("password", ["violet-harbour-91" + "x" * 1007, "é1ü-" * 170 + "abcd", "\U0001d160a1" * 73])
def test_a6_a_password_of_1024_bytes_is_taken_whole(client: Client, password: str) -> None:
    """The cap is no cut: a password up to it works, and the same without its last character does not."""
    assert len(unicodedata.normalize("NFC", password).encode()) in range(1020, 1025)
    client.register(password=password)
    assert client.login(password=password).status == 200
    assert client.login(password=password[:-1]).status == 401


def test_a7_a_full_hashing_queue_answers_busy_and_leaves_all_else_alone(open_app: App) -> None:
    """With every place in the hasher taken, acts that hash are 503 with Retry-After at once; other routes answer as ever."""
    client, hasher = Client(open_app), open_app.core.hasher
    tokens = client.register()
    token = tokens["access_token"]
    before = actions(open_app), rows(open_app, UNTOUCHED)
    with ExitStack() as held:
        for _ in range(hasher.admitted):
            assert hasher._admitted.acquire(blocking=False)
            held.callback(hasher._admitted.release)
        for path, body in {
            "/login": {"email": EMAIL, "password": PASSWORD},
            "/register": {"email": OTHER, "password": PASSWORD},
            "/reauthenticate": {"password": PASSWORD},
            "/password/change": {"current_password": PASSWORD, "new_password": NEW_PASSWORD},
        }.items():
            refused = client.post(path, body, token=token)
            assert (refused.status, refused.code) == (503, "busy"), path
            assert int(refused.header("Retry-After") or 0) >= 1
            assert refused.header_list("Set-Cookie") == []
        unknown = client.login(UNKNOWN)
        assert (unknown.status, unknown.code) == (503, "busy")
        assert (actions(open_app), rows(open_app, UNTOUCHED)) == before
        assert client.get("/healthz").status == 200
        assert client.get("/readyz").status == 200
        assert client.get("/user", token=token).status == 200
        assert client.get("/sessions", token=token).status == 200
        assert client.refresh(tokens["refresh_token"]).status == 200
    assert client.login().status == 200


def test_a7_parallel_logins_never_hash_beyond_the_memory_budget(tmp_path: Path, world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many log in at once, no more hashes run than the budget pays for, and each caller gets 200 or 503."""
    from argon2 import low_level

    with running(tmp_path, world, **UNLIMITED, hash_memory_kib=1024, hash_budget_mib=1) as app:
        Client(app).register()
        running_now, peak, lock, verify = 0, 0, threading.Lock(), low_level.verify_secret

        def watch(*args: Any) -> bool:
            nonlocal running_now, peak
            with lock:
                running_now += 1
                peak = max(peak, running_now)
            try:
                return verify(*args)
            finally:
                with lock:
                    running_now -= 1

        monkeypatch.setattr(low_level, "verify_secret", watch)
        answers = together(40, lambda _: Client(app).login())
        assert peak == 1
        assert {answer.status for answer in answers} <= {200, 503}
        assert {answer.code for answer in answers if answer.status == 503} <= {"busy"}
        succeeded = sum(answer.status == 200 for answer in answers)
        assert succeeded >= 1
        assert actions(app).count("login.succeeded") == succeeded


UNICODE_FORMS = [
    ("caf\u00e9-harbour-91", "cafe\u0301-harbour-91"),
    ("\u212bngstr\u00f6m-harbour", "A\u030angstro\u0308m-harbour"),
    ("\uac01\ud55c\uae00-harbour", "\u1100\u1161\u11a8\u1112\u1161\u11ab\u1100\u1173\u11af-harbour"),
    ("q\u0323\u0307-harbour-91", "q\u0307\u0323-harbour-91"),
]


@pytest.mark.parametrize("forms", [pair for forms in UNICODE_FORMS for pair in (forms, forms[::-1])])
def test_a8_a_password_is_the_same_in_every_canonical_form(client: Client, forms: tuple[str, str]) -> None:
    """What one keyboard sends composed and another decomposed is one password: at sign-in, confirmation and change."""
    mine, theirs = forms
    assert mine != theirs
    client.register(password=mine)
    answer = client.login(password=theirs)
    assert answer.status == 200
    token = answer["access_token"]
    assert client.post("/reauthenticate", {"password": theirs}, token=token).status == 200
    changed = client.post("/password/change", {"current_password": theirs, "new_password": theirs + "-2"}, token=token)
    assert changed.status == 200
    assert client.login(password=mine + "-2").status == 200
    assert client.login(password=mine).status == 401


def test_a8_a_compatibility_form_is_another_password(client: Client) -> None:
    """Normalisation is NFC and no more: full-width letters do not stand for their ASCII look-alikes."""
    client.register(password="violet-harbour-91")
    assert client.login(password="\uff56iolet-harbour-91").status == 401
    assert client.login(password="VIOLET-HARBOUR-91").status == 401
    assert client.login(password=" violet-harbour-91").status == 401


EQUAL_ADDRESSES = [
    ("mark@example.com", "Mark@example.com"),
    ("mark@example.com", "MARK@EXAMPLE.COM"),
    ("mark@example.com", "  mark@example.com "),
    ("rene\u0301@example.com", "ren\u00e9@example.com"),
    ("ren\u00e9@example.com", "REN\u00c9@example.com"),
    ("\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@example.com", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3@example.com"),
    ("mark@b\u00fccher.example", "mark@xn--bcher-kva.example"),
    ("mark@b\u00fccher.example", "mark@BU\u0308CHER.Example"),
    ("mark@b\u00fccher.example", "mark@XN--BCHER-KVA.EXAMPLE"),
]


@pytest.mark.parametrize("spellings", [pair for spellings in EQUAL_ADDRESSES for pair in (spellings, spellings[::-1])], ids=ascii)
def test_a9_harmless_spellings_of_an_address_are_one_account(client: Client, app: App, spellings: tuple[str, str]) -> None:
    """Case, composition and punycode make no second account; the address is kept as its owner wrote it."""
    first, twin = spellings
    user = client.register(first)["user"]
    assert user["email"] == unicodedata.normalize("NFC", first.strip())
    taken = client.post("/register", {"email": twin, "password": NEW_PASSWORD})
    assert (taken.status, taken.code) == (409, "email_taken")
    assert client.login(twin, NEW_PASSWORD).status == 401
    assert client.login(twin)["user"]["id"] == user["id"]
    assert rows(app, "SELECT count(*) FROM users") == [(1,)]


REFUSED_ADDRESSES = {
    "dotless-i": "m\u0131ke@example.com",
    "dotless-i-in-the-domain": "mike@g\u0131thub.com",
    "dotted-capital-i": "m\u0130ke@example.com",
    "long-s": "\u017fam@example.com",
    "sharp-s": "stra\u00dfe@example.com",
    "capital-sharp-s": "STRA\u1e9eE@example.com",
    "sharp-s-in-the-domain": "mark@stra\u00dfe.example",
    "sharp-s-in-punycode": "mark@xn--strae-oqa.example",
    "final-sigma-in-the-domain": "mark@\u03b2\u03cc\u03bb\u03bf\u03c2.example",
    "final-sigma-in-punycode": "mark@xn--nxasmm1c.example",
    "iota-subscript-in-the-domain": "mark@\u1fb3x.example",
    "ligature": "\ufb01ona@example.com",
    "full-width": "\uff4dark@example.com",
    "full-width-at": "mark\uff20example.com",
    "full-width-stop": "mark@example\uff0ecom",
    "ideographic-stop": "mark@example\u3002com",
    "half-width-ideographic-stop": "mark@example\uff61com",
    "kelvin-in-punycode": "mark@xn--mar-0k1a.com",
    "mathematical": "\U0001d426ark@example.com",
    "superscript": "mark\u00b2@example.com",
    "zero-width-space": "ma\u200brk@example.com",
    "zero-width-joiner": "ma\u200drk@example.com",
    "zero-width-non-joiner": "mark@exam\u200cple.com",
    "word-joiner": "mark\u2060@example.com",
    "byte-order-mark": "\ufeffmark@example.com",
    "soft-hyphen": "ma\u00adrk@example.com",
    "soft-hyphen-in-the-domain": "mark@exam\u00adple.com",
    "grapheme-joiner": "ma\u034frk@example.com",
    "grapheme-joiner-in-the-domain": "mark@exam\u034fple.com",
    "variation-selector": "mark\ufe0f@example.com",
    "variation-selector-in-the-domain": "mark@exam\ufe0fple.com",
    "supplementary-variation-selector": "mark\U000e0101@example.com",
    "mongolian-variation-selector": "ma\u180brk@example.com",
    "hangul-filler": "mark\u3164@example.com",
    "hangul-choseong-filler": "mark\u115f@example.com",
    "hangul-jungseong-filler": "mark\u1160@example.com",
    "khmer-inherent-vowel": "mark\u17b5@example.com",
    "tag": "mark\U000e0041@example.com",
    "right-to-left-override": "\u202ekram@example.com",
    "right-to-left-mark": "mark\u200f@example.com",
    "isolate": "\u2066mark\u2069@example.com",
    "no-break-space": "mark\u00a0@example.com",
    "private-use": "mark\ue000@example.com",
    "unassigned": "mark\u0378@example.com",
    "quoted": '"mark"@example.com',
    "quoted-space": '"ma rk"@example.com',
    "quoted-at": '"mark@evil.example"@example.com',
    "comment": "mark(x)@example.com",
    "comment-in-the-domain": "mark@(x)example.com",
    "display-name": "Mark <mark@example.com>",
    "route": "@evil.example:mark@example.com",
    "source-route": "mark%evil.example@",
    "two-addresses": "mark@example.com,eve@evil.example",
    "two-ats": "mark@evil.example@example.com",
    "backslash": "ma\\rk@example.com",
    "space": "ma rk@example.com",
    "tab": "mark@example.com\t",
    "newline": "mark@example.com\n",
    "header": "mark@example.com\r\nBcc: eve@evil.example",
    "nul": "mark\0@example.com",
    "nul-in-the-domain": "mark@example.com\0.evil.example",
    "surrogate": "mark\ud800@example.com",
    "trailing-dot": "mark@example.com.",
    "leading-dot-in-the-domain": "mark@.example.com",
    "two-dots-in-the-domain": "mark@example..com",
    "leading-dot": ".mark@example.com",
    "trailing-dot-before-at": "mark.@example.com",
    "two-dots": "ma..rk@example.com",
    "ip-literal": "mark@[192.0.2.1]",
    "ip": "mark@192.0.2.1",
    "one-label": "mark@example",
    "leading-hyphen": "mark@-example.com",
    "trailing-hyphen": "mark@example-.com",
    "underscore": "mark@exa_mple.com",
    "port": "mark@example.com:25",
    "punycode-of-ascii": "mark@xn--example-.com",
    "punycode-of-nothing": "mark@xn--.com",
    "punycode-of-full-width": "mark@xn--xample-hy68a.com",
    "broken-punycode": "mark@xn--a\u00e4.com",
    "no-local": "@example.com",
    "no-domain": "mark@",
    "no-at": "mark.example.com",
    "empty": "",
    "number": 7,
    "list": ["mark@example.com"],
}


@pytest.mark.parametrize("name", REFUSED_ADDRESSES)
def test_a9_a_look_alike_or_unusual_address_is_refused(client: Client, app: App, name: str) -> None:
    """Spellings that another system may read as somebody else's address are 422, at registration and at sign-in."""
    client.register("mark@example.com")
    before = actions(app)
    for path in ("/register", "/login"):
        refused = client.post(path, {"email": REFUSED_ADDRESSES[name], "password": PASSWORD})
        assert (refused.status, refused.code) == (422, "invalid_request")
        assert [error["field"] for error in refused["errors"]] == ["email"]
    assert actions(app) == before
    assert rows(app, "SELECT email_key FROM users") == [("mark@example.com",)]


@pytest.mark.parametrize(
    ("plain", "twin"),
    [
        ("mark@example.com", "mar\u212a@example.com"),
        ("mark@kom.example", "mark@\u212aom.example"),
        ("\u03c9@example.com", "\u2126@example.com"),
        ("\u00e5@example.com", "\u212b@example.com"),
    ],
    ids=ascii,
)
def test_a9_a_sign_that_normalises_to_a_letter_makes_no_second_account(client: Client, app: App, plain: str, twin: str) -> None:
    """The Kelvin, ohm and angstrom signs are refused, or are the letter that they stand for: never an account of their own."""
    client.register(plain)
    answer = client.post("/register", {"email": twin, "password": NEW_PASSWORD})
    assert answer.status in (409, 422)
    assert client.login(twin, NEW_PASSWORD).status in (401, 422)
    assert rows(app, "SELECT count(*) FROM users") == [(1,)]


def test_a9_no_two_accounts_differ_only_by_a_mapping_of_case() -> None:
    """Two accepted addresses that any upper-, lower- or folding mapping makes equal share one key: nobody's mail goes astray."""
    groups: dict[str, set[str]] = {}
    for char in map(chr, (*range(0x41, 0x5B), *range(0x80, 0x20000))):
        for mapped in {char.upper(), char.lower(), char.casefold()} - {char}:
            groups.setdefault(mapped, set()).update((char, mapped))
    keys = {mapped: {key for char in chars if (key := _key(f"{char}@example.com"))} for mapped, chars in groups.items()}
    assert len(keys) > 1_000
    assert {mapped: found for mapped, found in keys.items() if len(found) > 1} == {}


def test_a9_the_key_names_the_domain_that_was_written() -> None:
    """An international domain folds to that domain's own ASCII form, never to a neighbour's that some old mapping makes of it."""
    strayed = {}
    for char in map(chr, (*range(0x80, 0x3000), *range(0xA640, 0xAB70), *range(0xF900, 0x10000))):
        key = _key(f"mark@x{char}y.example")
        if key is None:
            continue
        named = key.partition("@")[2].encode().decode("idna")
        if named not in {unicodedata.normalize("NFC", f"x{case}y.example") for case in (char, char.lower())}:
            strayed[f"U+{ord(char):04X}"] = named
    assert strayed == {}


def _key(address: str) -> str | None:
    try:
        return emails.parse(address).key
    except Invalid:
        return None


HOSTILE_FIELDS = {
    "email": [
        "mark@example.com\r\nBcc: eve@evil.example",
        "mark\r\n@example.com",
        "mark@example.com\0",
        "a" * 65 + "@example.com",
        "\u00e4" * 33 + "@example.com",
        "mark@" + "a" * 64 + ".com",
        "mark@" + "\u00e4" * 60 + ".com",
        "mark@" + ".".join(["a" * 62] * 4) + ".com",
        "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".example",
        "\u00e4" * 32 + "@" + ".".join(["b" * 60] * 3) + ".example",
        "mark@" + "a." * 4_000 + "com",
    ],
    "name": [
        "Mallory\r\nBcc: eve@evil.example",
        "Mallory\n",
        "\r\nMallory",
        "Mal\0lory",
        "Mallory\0",
        "Mal\x1blory",
        "a" * 201,
        "\u202eyrollaM",
        "Mal\u2028lory",
        "Mallory\u2029",
        "Mal\x85lory",
        "Mallory\x7f",
        "\ud800",
        " ",
        "",
    ],
    "locale": [
        "en\r\n",
        "en\n",
        "\nen",
        "en\0",
        "en\r\nX-Evil: 1",
        "e" * 36,
        "en-" + "a" * 255,
        "../../etc/passwd",
        "\uff45\uff4e",
        "en_US",
        "",
    ],
    "phone_number": [
        "+14155550100\r\n",
        "+14155550100\n",
        "+1415\x0550100",
        "+" + "1" * 16,
        "+" + "1" * 255,
        "14155550100",
        "+0155550100",
        "+1 415\t555 0100",
        "+\u0661\u0664\u0661\u0665\u0665\u0665\u0660\u0661\u0660\u0660",
        "+14155550100;ext=1",
        "",
    ],
    "picture": [
        "https://example.com/\r\nX-Evil: 1",
        "https://example.com/a\n",
        "https://example.com/\0",
        "https://example.com/" + "a" * 2048,
        "javascript:alert(1)",
        "data:text/html,x",
        "//example.com/a",
        'https://example.com/"><script>',
        "",
    ],
}


@pytest.mark.parametrize("field", ["email", "name", "locale", "phone_number"])
def test_a10_line_breaks_nul_and_overflow_are_refused_at_registration(open_app: App, field: str) -> None:
    """Each hostile value is 422 for its field; no account, no event, and nothing of it in a header."""
    client = Client(open_app)
    for value in HOSTILE_FIELDS[field]:
        refused = client.post("/register", {"email": EMAIL, "password": PASSWORD, field: value})
        assert (refused.status, refused.code) == (422, "invalid_request"), ascii(value)
        assert [error["field"] for error in refused["errors"]] == [field], ascii(value)
        assert all("evil" not in text.lower() and text.isprintable() for header in refused.headers for text in header)
    assert actions(open_app) == []
    assert rows(open_app, UNTOUCHED) == []


@pytest.mark.parametrize("field", ["name", "locale", "picture"])
def test_a10_line_breaks_nul_and_overflow_are_refused_in_a_profile(open_app: App, field: str) -> None:
    """A profile takes nothing that registration would refuse, and a refused change changes nothing."""
    client = Client(open_app)
    answer = client.register()
    before = actions(open_app), rows(open_app, UNTOUCHED)
    for value in HOSTILE_FIELDS[field]:
        refused = client.put(f"/user/{answer['user']['id']}", {field: value}, token=answer["access_token"])
        assert (refused.status, refused.code) == (422, "invalid_request"), ascii(value)
        assert [error["field"] for error in refused["errors"]] == [field], ascii(value)
    assert (actions(open_app), rows(open_app, UNTOUCHED)) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "a" * 64 + "@example.com"},
        {"email": "\u00e4" * 32 + "@example.com"},
        {"email": "mark@" + "a" * 63 + ".com"},
        {"email": "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".exampl"},
        {"name": "\U0001f30a" * 200},
        {"locale": "zh-Hant-TW"},
        {"phone_number": "+" + "1" * 15},
    ],
    ids=ascii,
)
def test_a10_the_longest_allowed_values_are_kept_whole(client: Client, fields: dict[str, str]) -> None:
    """At the bounds a value is taken and comes back as it was sent."""
    user = client.register(**{"email": EMAIL, **fields})["user"]
    assert {name: user[name] for name in fields} == fields


NOT_THEIRS = {
    "id": "usr_00000000000000000000000000",
    "roles": ["admin"],
    "caps": ["*"],
    "status": "active",
    "app_metadata": {"plan": "gold"},
    "email_verified": True,
    "phone_number_verified": True,
    "mfa_enabled": True,
    "has_password": False,
    "created_at": "2001-01-01T00:00:00Z",
    "updated_at": "2001-01-01T00:00:00Z",
    "last_login_at": None,
}
UNHEARD_OF = {
    "email_key": "admin@example.com",
    "password_hash": "x",
    "generation": 99,
    "version": 1,
    "user_id": "usr_00000000000000000000000000",
    "role": "admin",
    "is_admin": True,
    "admin": True,
    "Roles": ["admin"],
    "roles ": ["admin"],
    "roles.0": "admin",
    "$set": {"roles": ["admin"]},
    "__proto__": {"roles": ["admin"]},
    "constructor": {},
}


@pytest.mark.parametrize("name", [*NOT_THEIRS, *UNHEARD_OF])
def test_a11_registration_sets_nothing_that_is_not_the_callers(client: Client, app: App, name: str) -> None:
    """Naming a field that is not theirs to set is `forbidden`, an unheard-of one `unknown_field`; no account is made."""
    refused = client.post("/register", {"email": EMAIL, "password": PASSWORD, name: {**NOT_THEIRS, **UNHEARD_OF}[name]})
    _assert_not_settable(refused, name)
    assert refused.header_list("Set-Cookie") == []
    assert rows(app, UNTOUCHED) == []
    assert actions(app) == []


@pytest.mark.parametrize("name", [*NOT_THEIRS, *UNHEARD_OF, "password"])
def test_a11_a_profile_change_sets_nothing_that_is_not_the_callers(client: Client, app: App, name: str) -> None:
    """A refused field takes the whole request with it: the allowed name beside it is not changed either."""
    answer = client.register(name="Alice")
    before = actions(app), rows(app, UNTOUCHED), rows(app, "SELECT * FROM user_roles")
    value = {**NOT_THEIRS, **UNHEARD_OF, "password": NEW_PASSWORD}[name]
    refused = client.put(f"/user/{answer['user']['id']}", {"name": "Mallory", name: value}, token=answer["access_token"])
    _assert_not_settable(refused, name)
    assert (actions(app), rows(app, UNTOUCHED), rows(app, "SELECT * FROM user_roles")) == before
    assert client.get("/user", token=answer["access_token"]).json() == answer["user"]


def test_a11_an_address_is_not_the_callers_to_set_before_it_is_proved(client: Client, app: App) -> None:
    """Naming a new address only sends it a letter: until its link is used, account, sign-in and events know the old one."""
    answer = client.register()
    before = rows(app, UNTOUCHED), rows(app, "SELECT * FROM user_roles")
    asked = client.put(f"/user/{answer['user']['id']}", {"email": OTHER}, token=answer["access_token"])
    assert (asked.status, asked["email"], asked["email_verified"]) == (200, EMAIL, False)
    assert (rows(app, UNTOUCHED), rows(app, "SELECT * FROM user_roles")) == before
    assert (client.login().status, client.login(OTHER).status) == (200, 401)
    assert "email.changed" not in actions(app)


def _assert_not_settable(refused: Answer, name: str) -> None:
    if name in NOT_THEIRS:
        assert (refused.status, refused.code) == (403, "forbidden")
    else:
        assert (refused.status, refused.code) == (422, "invalid_request")
        assert [(error["field"], error["code"]) for error in refused["errors"]] == [(name, "unknown_field")]


@pytest.mark.parametrize("extra", [{"roles": "admin"}, {"options.roles": "admin"}, {"app_metadata.plan": "gold"}, {"status": "active"}])
def test_a11_a_form_sets_nothing_that_is_not_the_callers_either(client: Client, app: App, extra: dict[str, str]) -> None:
    """Form fields, plain or dotted, are held to the same declared shape as JSON."""
    raw = urlencode({"email": EMAIL, "password": PASSWORD, **extra}).encode()
    refused = client.post("/register", raw=raw, content_type="application/x-www-form-urlencoded")
    assert refused.status in (403, 422)
    assert rows(app, UNTOUCHED) == []


def test_a11_what_a_user_writes_into_metadata_gives_no_authority(client: Client) -> None:
    """Metadata is the user's own notebook: words in it that look like roles mean nothing."""
    notes = {"roles": ["admin"], "caps": ["*"], "app_metadata": {"plan": "gold"}, "status": "active"}
    answer = client.register(metadata=notes)
    user = client.get("/user", token=answer["access_token"]).json()
    assert (user["metadata"], user["roles"], user["caps"], user["app_metadata"]) == (notes, ["user"], [], {})
    stranger = client.register(OTHER)["user"]["id"]
    assert client.get(f"/user/{stranger}", token=answer["access_token"]).status == 404


def test_a14_changing_the_password_ends_every_other_session(client: Client, app: App) -> None:
    """After a password change no access token made before works, and no other session can be refreshed."""
    stolen = client.register().json()
    mine = client.login().json()
    for tokens in (stolen, mine):
        assert client.get("/user", token=tokens["access_token"]).status == 200
    changed = client.post("/password/change", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, token=mine["access_token"])
    assert changed.status == 200
    for tokens in (stolen, mine):
        _assert_ended(client.get("/user", token=tokens["access_token"]))
    _assert_ended(client.refresh(stolen["refresh_token"]))
    assert client.get("/user", token=changed["access_token"]).status == 200
    assert [item["id"] for item in client.get("/sessions", token=changed["access_token"])["items"]] == [mine["session_id"]]
    assert client.refresh(changed["refresh_token"]).status == 200
    assert client.login().status == 401
    assert actions(app).count("password.changed") == 1


def test_a14_a_password_set_by_an_administrator_ends_every_session(client: Client, app: App) -> None:
    """When somebody else sets the password, no session of the account stands."""
    tokens = client.register().json()
    assert client.get("/user", token=tokens["access_token"]).status == 200
    login.set_password(app.core, users.find(app.core, tokens["user"]["id"]).user, NEW_PASSWORD, CLI)
    _assert_ended(client.get("/user", token=tokens["access_token"]))
    _assert_ended(client.refresh(tokens["refresh_token"]))
    assert client.login(password=NEW_PASSWORD).status == 200


def test_a14_disabling_ends_every_session_for_good(client: Client, app: App) -> None:
    """A disabled account's tokens are refused at once, and enabling it again brings none of them back."""
    sessions = [client.register().json(), client.login().json()]
    for tokens in sessions:
        assert client.get("/user", token=tokens["access_token"]).status == 200
    user_id = sessions[0]["user"]["id"]
    for status in (DISABLED, ACTIVE):
        users.set_status(app.core, user_id, status, CLI)
        for tokens in sessions:
            _assert_ended(client.get("/user", token=tokens["access_token"]))
            _assert_ended(client.refresh(tokens["refresh_token"]))
        assert client.login().status == (403 if status == DISABLED else 200)
    assert actions(app).count("user.disabled") == 1


@pytest.mark.parametrize("change", ["grant", "ungrant"])
def test_a14_a_change_of_roles_counts_at_the_next_request(client: Client, app: App, change: str) -> None:
    """Tokens with the old roles are refused at once; refreshing the session gives the new ones."""
    keeper = client.register(OTHER)["user"]["id"]
    users.change_roles(app.core, keeper, CLI, grant=[ADMIN])
    tokens = client.register().json()
    user_id, ungranted = tokens["user"]["id"], (["user"], [])
    if change == "ungrant":
        users.change_roles(app.core, user_id, CLI, grant=[ADMIN])
        tokens = client.refresh(tokens["refresh_token"]).json()
        assert client.get(f"/user/{keeper}", token=tokens["access_token"]).status == 200
    assert client.get("/user", token=tokens["access_token"]).status == 200
    users.change_roles(app.core, user_id, CLI, **{change: [ADMIN]})
    _assert_ended(client.get("/user", token=tokens["access_token"]))
    _assert_ended(client.get(f"/user/{keeper}", token=tokens["access_token"]))
    renewed = client.refresh(tokens["refresh_token"])
    assert renewed.status == 200
    user = client.get("/user", token=renewed["access_token"]).json()
    assert (user["roles"], user["caps"]) == (ungranted if change == "ungrant" else (["admin", "user"], ["*"]))
    assert client.get(f"/user/{keeper}", token=renewed["access_token"]).status == (404 if change == "ungrant" else 200)


def _assert_ended(answer: Answer) -> None:
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert answer.header_list("Set-Cookie") == []


def test_a15_an_old_session_cannot_change_the_password(client: Client, app: App, world: FakeWorld) -> None:
    """Fifteen minutes after the sign-in the password change asks for /reauthenticate first, however often the session was refreshed."""
    tokens = client.register().json()
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    world.advance(901)
    tokens = client.refresh(tokens["refresh_token"]).json()
    client.login()
    for attempt in ("stale", "after a wrong password"):
        refused = client.post("/password/change", change, token=tokens["access_token"])
        assert (refused.status, refused.code) == (401, "reauthentication_required"), attempt
        assert 'error="insufficient_user_authentication"' in (refused.header("WWW-Authenticate") or "")
        assert client.post("/reauthenticate", {"password": WRONG}, token=tokens["access_token"]).code == "invalid_credentials"
    assert "password.changed" not in actions(app)
    assert client.login(password=NEW_PASSWORD).status == 401
    fresh = client.post("/reauthenticate", {"password": PASSWORD}, token=tokens["access_token"])
    assert (fresh.status, fresh["session_id"]) == (200, tokens["session_id"])
    assert client.post("/password/change", change, token=fresh["access_token"]).status == 200
    assert client.login(password=NEW_PASSWORD).status == 200
    assert actions(app).count("password.changed") == 1


def test_a15_a_fresh_session_cannot_change_the_password_without_knowing_it(client: Client, app: App) -> None:
    """A stolen fresh session does not know the present password, and nothing is changed without it."""
    token = client.register()["access_token"]
    missing = client.post("/password/change", {"new_password": NEW_PASSWORD}, token=token)
    assert [(error["field"], error["code"]) for error in missing["errors"]] == [("current_password", "required")]
    wrong = client.post("/password/change", {"current_password": WRONG, "new_password": NEW_PASSWORD}, token=token)
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    assert "password.changed" not in actions(app)
    assert client.login().status == 200


def test_a17_parallel_registrations_of_one_address_make_one_account(open_app: App) -> None:
    """Of sixteen registrations at once, in different spellings, one is 201 and the rest are 409 or 503; one row each in the store."""
    for number in range(5):
        email = f"racer{number}@mail.com"
        spellings = (email, email.upper(), email.title(), f" {email}")

        def register(index: int, spellings: tuple[str, ...] = spellings) -> Answer:
            return Client(open_app).post("/register", {"email": spellings[index % 4], "password": f"{PASSWORD}-{index}"})

        answers = together(16, register)
        winners = [index for index, answer in enumerate(answers) if answer.status == 201]
        assert len(winners) == 1
        assert {answer.code for answer in answers if answer.status != 201} <= {"email_taken", "busy"}
        assert {answer.status for answer in answers} <= {201, 409, 503}
        user_id = answers[winners[0]]["user"]["id"]
        assert rows(open_app, "SELECT id FROM users WHERE email_key = ?", email) == [(user_id,)]
        assert rows(open_app, "SELECT id FROM sessions WHERE user_id = ?", user_id) == [(answers[winners[0]]["session_id"],)]
        assert actions(open_app).count("user.registered") == number + 1
        assert Client(open_app).login(email, f"{PASSWORD}-{winners[0]}").status == 200


def _ungrant(app: App, user_id: str) -> None:
    users.change_roles(app.core, user_id, CLI, ungrant=[ADMIN])


def _disable(app: App, user_id: str) -> None:
    users.set_status(app.core, user_id, DISABLED, CLI)


def _delete(app: App, user_id: str) -> None:
    removal.delete(app.core, user_id, CLI, EVERYTHING)


@pytest.mark.parametrize(
    "acts", [(_ungrant, _ungrant), (_disable, _disable), (_delete, _delete), (_ungrant, _disable), (_disable, _delete)]
)
def test_a17_parallel_demotions_leave_one_admin(open_app: App, acts: tuple[Callable[[App, str], None], ...]) -> None:
    """Two admins taking each other's place away at once: one succeeds, the other is told `conflict`, and one admin stays."""
    admins = "SELECT u.id FROM users u JOIN user_roles r ON r.user_id = u.id WHERE r.role = 'admin' AND u.status = 'active'"
    client = Client(open_app)
    standing = None
    for number in range(10):
        pair = [client.register(f"admin{number}-{n}@mail.com")["user"]["id"] for n in range(2)]
        for user_id in pair:
            users.change_roles(open_app.core, user_id, CLI, grant=[ADMIN])
        if standing:
            _ungrant(open_app, standing)
        before = len(actions(open_app))

        def demote(index: int, pair: list[str] = pair) -> str | None:
            try:
                acts[index](open_app, pair[index])
            except Problem as problem:
                return problem.code
            return None

        outcome = together(2, demote)
        assert sorted(outcome, key=str) == [None, "conflict"]
        standing = pair[outcome.index("conflict")]
        assert rows(open_app, admins) == [(standing,)]
        assert len(actions(open_app)) == before + 1


def test_a18_a_new_account_inherits_nothing_from_a_deleted_one(client: Client, app: App) -> None:
    """Whoever registers a deleted account's address gets a new id and none of its sessions, roles, tokens or data."""
    keeper = client.register(OTHER)["user"]["id"]
    old = client.register(name="Alice", phone_number="+14155550100", locale="pt-BR", metadata={"note": 1}).json()
    for user_id in (keeper, old["user"]["id"]):
        users.change_roles(app.core, user_id, CLI, grant=[ADMIN])
    old = client.refresh(old["refresh_token"]).json()
    second = client.login().json()
    assert client.get(f"/user/{keeper}", token=old["access_token"]).status == 200
    removal.delete(app.core, old["user"]["id"], CLI, EVERYTHING)
    new = client.register(password=NEW_PASSWORD).json()

    assert new["user"]["id"] != old["user"]["id"]
    assert (new["user"]["roles"], new["user"]["caps"]) == (["user"], [])
    assert [new["user"][name] for name in ("name", "phone_number", "locale", "metadata")] == [None, None, None, {}]
    for tokens in (old, second):
        _assert_ended(client.get("/user", token=tokens["access_token"]))
        _assert_ended(client.get(f"/user/{new['user']['id']}", token=tokens["access_token"]))
        _assert_ended(client.refresh(tokens["refresh_token"]))
        assert client.post("/token/revoke", {"token": tokens["refresh_token"]}).status == 200
    assert [item["id"] for item in client.get("/sessions", token=new["access_token"])["items"]] == [new["session_id"]]
    assert client.get(f"/user/{old['user']['id']}", token=new["access_token"]).status == 404
    assert client.login(password=PASSWORD).status == 401
    assert rows(app, "SELECT count(*) FROM sessions WHERE user_id = ?", old["user"]["id"]) == [(0,)]
    assert rows(app, "SELECT user_id FROM user_roles") == [(keeper,)]
    assert actions(app).count("user.deleted") == 1
    assert "session.revoked" not in actions(app)
    assert json.dumps(new["user"]).count("Alice") == 0
