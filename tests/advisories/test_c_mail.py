"""Attacks by way of mail: C4 (poisoned links), C13 (mail bombing), C14 (injected content), F11 (bad peers), F12 (two at one row)."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from tests.delivery import FROM, crowd, ends, failures, impatient, put, recipients
from tests.letterbox import JSON_ONLY, NEW, NO_MAIL_LIMITS, UNLIMITED, ask_change, counts, files, link, rows, use
from tests.mailserver import Answer, Behaviour, DropInData, Slow, Trickle, mail_server
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, running, together
from tests.support import Answer as HttpAnswer

EVIL = "evil.example"
PUBLIC = ["http://127.0.0.1:8000", "http://localhost:8000/auth/v1", "https://auth.example.com", "https://example.com:8443/auth"]
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
URL = re.compile(r"https?://[^\s\"'<>]+")
POISON = {
    "Host": {"HTTP_HOST": EVIL},
    "Host with a port": {"HTTP_HOST": f"auth.example.com:80@{EVIL}"},
    "X-Forwarded-Host": {"HTTP_X_FORWARDED_HOST": EVIL, "HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_PORT": "81"},
    "Forwarded": {"HTTP_FORWARDED": f"for=192.0.2.9;host={EVIL};proto=http", "HTTP_X_HOST": EVIL, "HTTP_X_ORIGINAL_HOST": EVIL},
    "X-Forwarded-Prefix": {"HTTP_X_FORWARDED_PREFIX": f"//{EVIL}", "HTTP_X_SCRIPT_NAME": f"//{EVIL}", "HTTP_X_ORIGINAL_URL": f"//{EVIL}/"},
    "server name": {"SERVER_NAME": EVIL, "SERVER_PORT": "81", "wsgi.url_scheme": "https"},
    "absolute URI": {"REQUEST_URI": f"http://{EVIL}/password/forgot", "RAW_URI": f"http://{EVIL}/password/forgot"},
}


class Poisoned(Client):
    """A client whose every request has these things in its environment."""

    environ: dict[str, Any]

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> HttpAnswer:
        return super().call(method, path, body, **(more | {"environ": self.environ | more.get("environ", {})}))


def mailbox(app: App, folder: Path) -> list[Any]:
    """Deliver what is due; all mails so far, oldest first. What is asked for next is younger."""
    while app.deliveries.run_once():
        pass
    app.core.world.advance(0.001)
    return files(folder)


def text(mail: Any) -> str:
    """All that a mail shows: its headers and both halves."""
    return "\n".join([f"{name}: {value}" for name, value in mail.items()] + [part.get_content() for part in mail.iter_parts()])


@contextmanager
def into_files(folder: Path, world: FakeWorld | None = None, **settings: Any) -> Iterator[App]:
    with running(folder, world, **{"mail": f"file:{folder / 'out'}", "mail_from": FROM, **UNLIMITED, **settings}) as app:
        yield app


@pytest.mark.parametrize("public", PUBLIC)
@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
def test_c4_links_come_from_the_public_url_alone(tmp_path: Path, public: str, poison: dict[str, str]) -> None:
    """C4: whatever host a request names, each link of each mail that it causes begins with the public URL, its path included."""
    trusted = {"trusted_proxies": "192.0.2.0/24"}
    with into_files(tmp_path, public_url=public, secret_key=SECRET, **trusted) as app:
        client = Poisoned(app)
        client.environ = poison
        client.register(password="violet-harbour-91-xyz", options={"sendEmail": True, "verifyEmail": True})
        client.register("other@mail.com", password=None, options={"sendResetEmail": True})
        for path in ("/password/forgot", "/login/magic", "/email/verify"):
            assert client.post(path, {"email": EMAIL}).status == 202
        signed_in = client.login(password="violet-harbour-91-xyz")
        assert client.put(f"/user/{signed_in['user']['id']}", {"email": NEW}, token=signed_in["access_token"]).status == 200
        mails = mailbox(app, tmp_path / "out")
        change = next(url for mail in mails if str(mail["To"]) == NEW for url in URL.findall(text(mail)) if "/email/verify/" in url)
        assert client.post(change.removeprefix(public)).status == 200
        mails = mailbox(app, tmp_path / "out")
    assert {str(mail["To"]) for mail in mails} == {EMAIL, NEW, "other@mail.com"}
    assert len(mails) >= 6
    for mail in mails:
        urls = URL.findall(text(mail))
        assert urls, mail["Subject"]
        assert [url for url in urls if not url.startswith(public + "/")] == []
        assert EVIL not in text(mail)


def test_c4_a_mailed_link_answers_with_the_public_url_too(tmp_path: Path) -> None:
    """C4: the link itself leads back to us and works, whatever Host its visitor sends."""
    with running(tmp_path, **UNLIMITED) as app:
        Client(app).register(options={"verifyEmail": True})
        answer = use(app, link(app), headers={"Host": EVIL, **JSON_ONLY})
        assert answer.status == 200
        assert EVIL not in str(answer.headers) + answer.body.decode()


WAYS: dict[str, Callable[[Client, str], HttpAnswer]] = {
    "forgot": lambda client, to: client.post("/password/forgot", {"email": to}),
    "magic": lambda client, to: client.post("/login/magic", {"email": to}),
    "verify": lambda client, to: client.post("/email/verify", {"email": to}),
    "register": lambda client, to: client.post("/register", {"email": to, "password": PASSWORD}),
}
SPELLINGS = [EMAIL, EMAIL.upper(), "Example@Mail.com", f" {EMAIL}"]
BOMBS = 60


def shape(answer: HttpAnswer) -> tuple[int, Any]:
    """What a caller can tell: the status and the body, ids apart."""
    return answer.status, {name: value for name, value in answer.json().items() if name not in ("challenge_id", "request_id")}


@pytest.mark.parametrize("known", [True, False])
def test_c13_a_stranger_is_mailed_five_times_an_hour_at_most(tmp_path: Path, world: FakeWorld, known: bool) -> None:
    """C13: over all ways to cause a mail, spellings of the address and networks; the answers never change."""
    with into_files(tmp_path, world, enumeration="hide", limit_mail_address="5/3600s", limit_register_all="0") as app:
        if known:
            WAYS["register"](Client(app), EMAIL)
            mailbox(app, tmp_path / "out")
            world.advance(2 * 3_600)
        before = len(mailbox(app, tmp_path / "out"))
        answers: dict[str, set[str]] = {name: set() for name in WAYS}
        for number in range(BOMBS):
            for name, way in WAYS.items():
                answer = way(Client(app, ip=f"10.{number}.1.1"), SPELLINGS[number % len(SPELLINGS)])
                answers[name].add(json.dumps(shape(answer), sort_keys=True))
            mailbox(app, tmp_path / "out")
        assert {name: len(told) for name, told in answers.items()} == dict.fromkeys(WAYS, 1)
        assert {json.loads(*told)[0] for told in answers.values()} == {202}
        assert 1 <= len(mailbox(app, tmp_path / "out")) - before <= 5
        assert counts(app, "users") == [1]
        assert len(rows(app, "SELECT id FROM events WHERE action = 'limit.hit'")) >= BOMBS * len(WAYS) - 5
        # An hour later there is room again, and only for as many.
        world.advance(3_600)
        sent = len(mailbox(app, tmp_path / "out"))
        for number in range(BOMBS):
            WAYS["magic"](Client(app, ip=f"10.{number}.2.1"), EMAIL)
            mailbox(app, tmp_path / "out")
        assert 1 <= len(mailbox(app, tmp_path / "out")) - sent <= 5


def test_c13_welcome_and_change_letters_count_too(tmp_path: Path, world: FakeWorld) -> None:
    """C13: what an account of one's own can send to an address of somebody else's has the same bound."""
    with into_files(tmp_path, world, limit_mail_address="5/3600s") as app:
        Client(app).register()
        for _ in range(20):
            ask_change(app, NEW)
            mailbox(app, tmp_path / "out")
        assert Counter(str(mail["To"]) for mail in mailbox(app, tmp_path / "out"))[NEW] <= 5


def test_c13_one_network_cannot_mail_the_whole_world(tmp_path: Path, world: FakeWorld) -> None:
    """C13: one network's requests for mail are bounded, whoever they are to; others are not hindered by it."""
    more = UNLIMITED | {"limit_mail_network": "30/3600s"}
    with running(tmp_path, world, **more) as app:
        statuses = Counter(Client(app, ip=f"192.0.2.{n}").post("/login/magic", {"email": to}).status for n, to in enumerate(crowd(50)))
        assert statuses == {202: 30, 429: 20}
        assert counts(app, "outbox") == [30]
        assert Client(app, ip="198.51.100.1").post("/login/magic", {"email": EMAIL}).status == 202


HOSTILE = {
    "a link": f"https://{EVIL}/login click here now",
    "a bare host": f"{EVIL}/login",
    "markup": f'<a href="https://{EVIL}">click</a><img src="//{EVIL}/x.png">',
    "a header": f"x\r\nBcc: eve@{EVIL}\r\n\r\nVisit {EVIL}",
    "a placeholder": f"$link ${{code}} {EVIL}",
    "a heading": f"URGENT: your account at {EVIL}",
}


def everything_mailed(tmp_path: Path, hostile: str, **settings: Any) -> list[Any]:
    """All letters that an attacker can cause to be sent, with this text wherever they may write something."""
    agent = " ".join(f"Mozilla/5.0 Firefox {hostile}".split())
    lawful = hostile if "\r" not in hostile else " ".join(hostile.split())
    with into_files(tmp_path, **settings) as app:
        client = Client(app)
        more = {"headers": {"User-Agent": agent, "Accept-Language": agent}, "environ": {"HTTP_X_FORWARDED_FOR": lawful}}
        body = {"email": EMAIL, "password": PASSWORD, "metadata": {"note": hostile}, "options": {"sendEmail": True, "verifyEmail": True}}
        for name in (hostile, lawful):
            made = client.post("/register", body | {"name": name}, **more)
            assert made.status in (201, 202, 409, 422)
        taken = client.post("/register", body | {"name": lawful}, **more)
        assert taken.status in (409, 202)
        for path in ("/password/forgot", "/email/verify", "/login/magic"):
            assert client.post(path, {"email": EMAIL}, **more).status == 202
            mailbox(app, tmp_path / "out")
        reset = client.post("/password/forgot", {"email": EMAIL}, **more)
        assert reset.status == 202
        path = last_path(app, tmp_path, "/password/reset/")
        assert client.post(path, {"password": PASSWORD + "-2"}, **more).status == 200
        signed_in = client.post("/login", {"email": EMAIL, "password": PASSWORD + "-2"}, **more)
        assert signed_in.status == 200
        token, user = signed_in["access_token"], signed_in["user"]["id"]
        assert client.put(f"/user/{user}", {"email": f"click@{EVIL}", "name": lawful}, token=token, **more).status == 200
        assert client.post(last_path(app, tmp_path, "/email/verify/"), **more).status == 200
        return mailbox(app, tmp_path / "out")


def last_path(app: App, folder: Path, start: str) -> str:
    """The newest mailed link of this kind."""
    found = [url for mail in mailbox(app, folder / "out") for url in URL.findall(text(mail)) if start in url]
    return found[-1].removeprefix("http://127.0.0.1:8000")


@pytest.mark.parametrize("settings", [{}, {"enumeration": "hide"}], ids=["reveal", "hide"])
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
def test_c14_nothing_that_a_stranger_wrote_stands_in_a_letter(tmp_path: Path, hostile: str, settings: dict[str, str]) -> None:
    """C14: neither name nor metadata, program, language or new address of an account gets into any mail to its address."""
    mails = everything_mailed(tmp_path, hostile, **settings)
    assert len(mails) >= 5
    own = [mail for mail in mails if str(mail["To"]) == EMAIL]
    assert len(own) >= 4
    for mail in own:
        assert EVIL not in text(mail), mail["Subject"]
        assert "click" not in text(mail).lower()
        assert "URGENT" not in text(mail)
        assert [url for url in URL.findall(text(mail)) if not url.startswith("http://127.0.0.1:8000/")] == []
    for mail in mails:
        assert len(mail.get_all("To")) == 1
        assert mail["Bcc"] is None
        assert "<img" not in text(mail)
    assert {str(mail["To"]) for mail in mails} == {EMAIL, f"click@{EVIL}"}


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?x=0d=0aBcc=3aeve=40evil.example?=@mail.com",
        "=?utf-8?q?eve=40evil.example=2c?=@mail.com",
        "=?utf-8?b?ZXZlQGV2aWwuZXhhbXBsZSw=?=@mail.com",
        "=?iso-8859-1?q?eve?=@mail.com",
        "a=?utf-8?q?=0d=0aSubject=3aevil.example?=@mail.com",
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_c14_an_address_in_encoded_words_writes_no_header(tmp_path: Path, address: str, way: str) -> None:
    """C14: an address that a mail header would decode (RFC 2047) is refused, or stands there as it was given, and alone."""
    with into_files(tmp_path) as app:
        Client(app).post("/register", {"email": address, "password": PASSWORD, "options": {"verifyEmail": True}})
        WAYS[way](Client(app), address)
        mails = mailbox(app, tmp_path / "out")
        for file, mail in zip(sorted((tmp_path / "out").glob("*.eml")), mails, strict=True):
            assert f"\r\nTo: {address}\r\n".encode() in file.read_bytes()
            assert mail["Bcc"] is None
        raw = b"".join(file.read_bytes() for file in (tmp_path / "out").glob("*.eml"))
        assert b"eve@evil.example" not in raw
        assert b"\r\nBcc" not in raw


PEERS: dict[str, Callable[[], Behaviour]] = {
    "slow": lambda: Slow(60),
    "trickling": lambda: Trickle(60),
    "closing in DATA": lambda: DropInData(times=1_000),
    "busy": lambda: Answer(["451 4.3.2 busy"] * 1_000, "MAIL"),
    "closing with 421": lambda: Answer(["421 4.3.2 closing"] * 1_000, "RCPT"),
}


@pytest.mark.parametrize("behaviour", PEERS.values(), ids=list(PEERS))
def test_f11_a_bad_mail_server_hinders_no_request_and_delivery_resumes(
    tmp_path: Path, world: FakeWorld, behaviour: Callable[[], Behaviour]
) -> None:
    """F11: while the server hangs, drops or is busy every registration is answered; afterwards every mail arrives."""
    with (
        mail_server(tmp_path, behaviour=behaviour()) as server,
        running(tmp_path, world, mail=server.url(), mail_from=FROM, **UNLIMITED) as app,
    ):
        put(app, "first@example.org")
        stuck = threading.Thread(target=impatient(app, timeout=0.5, batch=1).run_once)
        stuck.start()
        for to in crowd(8):
            assert Client(app).register(to, options={"sendEmail": True}).status == 201
        stuck.join()
        assert ends(app) == dict.fromkeys(["first@example.org", *crowd(8)])
        assert failures(app) == []
        already = len(server.messages)
        server.behaviour = Behaviour()
        world.advance(20)
        while app.deliveries.run_once():
            pass
        assert set(ends(app).values()) == {"sent"}
        later = recipients(server.messages[already:])
        assert later == dict.fromkeys(["first@example.org", *crowd(8)], 1)
        assert len({one.message["Message-ID"] for one in server.messages}) == 9


def test_f12_two_services_on_one_database_send_each_mail_once(tmp_path: Path) -> None:
    """F12: two apps that empty one outbox at once, in turns of one batch: one send per lease, none left, no error."""
    with mail_server(tmp_path) as server:
        options = {"mail": server.url(), "mail_from": FROM, **UNLIMITED}
        with running(tmp_path, **options) as one, running(tmp_path, **options) as other:
            put(one, *crowd(60))
            handled = together(2, lambda number: sum(iter((one, other)[number].deliveries.run_once, 0)))
            assert sum(handled) == 60
            assert recipients(server.wait_for(60)) == dict.fromkeys(crowd(60), 1)
            assert set(ends(other).values()) == {"sent"}
            assert [line for app in (one, other) for line in app.core.world.lines if "delivery" in line] == []


def test_f12_a_lease_left_by_the_dead_runs_out(tmp_path: Path, world: FakeWorld) -> None:
    """F12: what a killed process had claimed is sent by another when the lease is over, with the same id, and once."""
    with mail_server(tmp_path) as server, running(tmp_path, world, mail=server.url(), mail_from=FROM, **NO_MAIL_LIMITS) as app:
        ids = put(app, *crowd(3))
        with app.core.store.write() as tx:
            assert len(tx.outbox.claim("mail", 20)) == 3
        assert app.deliveries.run_once() == 0
        world.advance(300)
        assert app.deliveries.run_once() == 3
        assert sorted(one.message["Message-ID"] for one in server.wait_for(3)) == sorted(f"<{one}@example.com>" for one in ids)
        assert app.deliveries.run_once() == 0
