"""From a row to a mail: its parts and headers, its links, who gets none, and that the database holds nothing that stands in it."""

from __future__ import annotations

import email
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.config import parse
from authsvc.config.mail import Sender
from authsvc.delivery.assembly import mail_sender
from authsvc.delivery.mail import MailCourier
from authsvc.delivery.senders import Envelope
from authsvc.events import CLI
from authsvc.flows import outbox, removal, users
from authsvc.primitives import emails
from authsvc.problems import Invalid
from authsvc.rules.access import EVERYTHING
from tests.delivery import FROM, ends, message, put
from tests.letterbox import ASK, NEW, UNLIMITED, code, confirm, files, link, rows, use
from tests.support import EMAIL, START, Client, FakeWorld, actions, running

HEADERS = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "MIME-Version", "Content-Type"}
FUZZ = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
VERIFIED_LATER = {"options": {"verifyEmail": True}}


@pytest.fixture
def free(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    """An app without limits."""
    with running(tmp_path, world, **UNLIMITED) as app:
        yield app


def mailed(app: App, folder: Path) -> list[EmailMessage]:
    """Deliver what is due; every mail in the folder, oldest first."""
    while app.deliveries.run_once():
        pass
    return files(folder)


def composed(app: App, to: str, *, letter: str = "welcome", **changes: Any) -> Envelope:
    """A letter as this app would mail it with other settings."""
    core = app.core
    courier = MailCourier(replace(core.settings, **changes), core.world, core.keyring, core.store, mail_sender(core.settings, core.world))
    words = {"account_url": "https://auth.example.com/account", "device": "Firefox", "ip": "192.0.2.1", "when": "now", "forgot_url": "x"}
    return courier.compose("dlv_1", letter, to, "en", words, at=START)


def received(envelope: Envelope) -> Any:
    """The mail as somebody who got its bytes reads it."""
    return email.message_from_bytes(envelope.to_bytes(), policy=default)


def spec(address: Any) -> str:
    """The address of a header as it was written: the parser leaves its UTF-8 undecoded."""
    return address.addr_spec.encode("utf-8", "surrogateescape").decode()


def squeezed(text: str) -> str:
    """Without white space, which folding and encoded words may move."""
    return "".join(text.split())


def account_id(app: App) -> str:
    return rows(app, "SELECT id FROM users")[0]["id"]


def halves(mail: Any) -> list[str]:
    return [part.get_content() for part in mail.iter_parts()]


def test_a_mail_has_its_text_first_and_the_same_in_html(tmp_path: Path) -> None:
    """multipart/alternative (RFC 2046 section 5.1.4): the last part is the best, and a reader without HTML takes the first."""
    with running(tmp_path, mail=f"file:{tmp_path / 'out'}", mail_from=f"Example <{FROM}>") as app:
        Client(app).register(**VERIFIED_LATER)
        (mail,) = mailed(app, tmp_path / "out")
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in mail.iter_parts()] == ["utf-8", "utf-8"]
    text, html = halves(mail)
    for half in (text, html):
        assert re.search(r"http://127\.0\.0\.1:8000/email/verify/\S+", half)
        assert re.search(r"\b[0-9]{6}\b", half)
        assert "24" in half
    assert "<" not in text
    assert mail.defects == []


def test_a_mail_has_its_headers_once_and_no_other(tmp_path: Path) -> None:
    """From, To, Date, Message-ID, and that a machine wrote it (RFC 3834), in the language of the letter."""
    with running(tmp_path, mail=f"file:{tmp_path / 'out'}", mail_from=f"Example <{FROM}>", name="Sesame") as app:
        Client(app).register(locale="de-AT", **VERIFIED_LATER)
        (row,) = rows(app, "SELECT id FROM outbox")
        (mail,) = mailed(app, tmp_path / "out")
    assert sorted(mail.keys()) == sorted(HEADERS)
    assert str(mail["From"]) == f"Example <{FROM}>"
    assert str(mail["To"]) == EMAIL
    assert mail["Date"].datetime == datetime.fromtimestamp(START // 1000, UTC)
    assert mail["Message-ID"] == f"<{row['id']}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "de"
    assert mail["Subject"] == "Bitte bestätigen Sie Ihre E-Mail-Adresse für Sesame"


def test_a_mail_is_the_same_at_each_try(tmp_path: Path, world: FakeWorld) -> None:
    """Id and date are the row's, not the hour's: whoever gets a mail twice can see that it is one."""
    with running(tmp_path, world, mail=f"file:{tmp_path / 'out'}") as app:
        (message_id,) = put(app, EMAIL)
        (first,) = mailed(app, tmp_path / "out")
        world.advance(86_400)
        outbox.retry(app.core, message_id)
        (again,) = mailed(app, tmp_path / "out")
        assert message(app, message_id).outcome == "sent"
    assert [(again[name], halves(again)) for name in ("Message-ID", "Date", "Subject")] == [
        (first[name], halves(first)) for name in ("Message-ID", "Date", "Subject")
    ]


@pytest.mark.parametrize(
    ("mail_from", "sender", "name", "domain"),
    [
        ("", "no-reply@[127.0.0.1]", "Sesame", "[127.0.0.1]"),
        (FROM, FROM, "Sesame", "example.com"),
        (f"Open, Sesame <{FROM}>", FROM, "Open, Sesame", "example.com"),
        (f'"Öffne dich" <{FROM}>', FROM, "Öffne dich", "example.com"),
        ("robot@[192.0.2.7]", "robot@[192.0.2.7]", "Sesame", "[192.0.2.7]"),
    ],
)
def test_a_mail_is_from_whom_the_settings_say(tmp_path: Path, mail_from: str, sender: str, name: str, domain: str) -> None:
    """With a name of its own or the service's; the envelope and the id have the same host, an IP address in brackets."""
    with running(tmp_path, mail_from=mail_from, name="Sesame") as app:
        envelope = composed(app, EMAIL)
    mail = received(envelope)
    (address,) = mail["From"].addresses
    assert (address.display_name, address.addr_spec, envelope.sender) == (name, sender, sender)
    assert mail["Message-ID"] == f"<dlv_1@{domain}>"


def test_without_a_sender_mail_is_from_the_public_host(tmp_path: Path) -> None:
    """no-reply at the host of the public URL."""
    with running(tmp_path, public_url="https://auth.example.com:8443/x", secret_key="0f1e2d3c4b5a69788796a5b4c3d2e1f0") as app:
        assert received(composed(app, EMAIL))["From"].addresses[0].addr_spec == "no-reply@auth.example.com"


@pytest.mark.parametrize(
    ("to", "recipient"),
    [
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
        ("Jane.Doe+x@Example.COM", "Jane.Doe+x@Example.COM"),
        ("jörg@bücher.example", "jörg@xn--bcher-kva.example"),
        ("用户@例子.example", "用户@xn--fsqu00a.example"),
        ("o'neil!#$%&*/=?^_`{|}~@example.com", "o'neil!#$%&*/=?^_`{|}~@example.com"),
    ],
)
def test_an_international_address_is_written_as_servers_take_it(app: App, to: str, recipient: str) -> None:
    """The domain in its ASCII form (RFC 5891); a local part outside ASCII in UTF-8 (RFC 6532), and only then."""
    envelope = composed(app, to)
    raw = envelope.to_bytes()
    assert envelope.recipient == recipient
    assert raw.isascii() == recipient.isascii()
    assert spec(received(envelope)["To"].addresses[0]) == recipient
    assert max(map(len, raw.split(b"\r\n"))) <= 998, "RFC 5322 section 2.1.1"
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("domain", ["a." * 90 + "example", f"{'b' * 63}.{'c' * 63}.example"])
@pytest.mark.parametrize("local", ["x" * 64, "x-" * 32, "é" * 32, "x'" * 32])
def test_the_longest_addresses_stay_whole(app: App, local: str, domain: str) -> None:
    """No folding of long headers breaks an address or writes it in another way."""
    to = f"{local}@{domain}"[-254:]
    assert spec(received(composed(app, to))["To"].addresses[0]) == emails.routed(to)
    assert f"\r\nTo: {emails.routed(to)}\r\n".encode() in composed(app, to).to_bytes().replace(b"To:\r\n", b"To:")


def service_names() -> st.SearchStrategy[str]:
    """What the setting takes."""

    def accepted(text: str) -> str:
        try:
            return parse.line(text)
        except ValueError:
            return ""

    hostile = st.text(st.sampled_from("\"',;:<>()@[]\\=?_-. äß漢😀aB"), min_size=1, max_size=60)
    return (st.text(max_size=60) | hostile).map(accepted).filter(lambda name: name and "=?" not in name)


@FUZZ
@given(name=service_names())
@example(name='Evil" <eve@evil.example>, "x')
@example(name='Müller, Söhne & Co. ("M\\S")')
@example(name="x" * 60)
@example(name="漢" * 60)
def test_any_name_of_a_service_stays_a_name(app: App, name: str) -> None:
    """Quotes, commas, angle brackets and other scripts in the name add no address and no header, and come out as they were."""
    mail = received(composed(app, EMAIL, name=name, mail_from=Sender("", FROM)))
    assert sorted(mail.keys()) == sorted(HEADERS)
    (sender,) = mail["From"].addresses
    assert sender.addr_spec == FROM
    assert squeezed(sender.display_name) == squeezed(name)
    assert len(mail["To"].addresses) == 1
    assert squeezed(name) in squeezed(mail["Subject"])


def accepted(text: str) -> str:
    """The address as the API takes it, or nothing."""
    try:
        return emails.parse(text).address
    except Invalid:
        return ""


def addresses() -> st.SearchStrategy[str]:
    local = st.text(st.sampled_from("abcXYZ019!#$%&'*+/=?^_`{|}~-.éüñж漢한"), min_size=1, max_size=40)
    domain = st.sampled_from(["example.com", "bücher.example", "例子.example", "a-b.c-d.example"])
    return st.builds("{}@{}".format, local, domain)


@FUZZ
@given(to=addresses())
@example(to="=?utf-8?q?x?=@example.com")
@example(to="=?utf-8?q?x=0d=0aBcc=3aeve=40evil.example?=@example.com")
@example(to="=?utf-8?q?eve=40evil.example=2c?=@example.com")
@example(to="=?utf-8?b?eA0KQmNjOmV2ZUBldmlsLmV4YW1wbGU=?=@example.com")
@example(to="%0d%0aBcc=x@example.com")
def test_any_address_that_is_accepted_is_written_to_and_no_other(app: App, to: str) -> None:
    """Whatever the address, the mail has it as its one recipient, in the header as in the envelope; or it is refused."""
    assume(accepted(to))
    envelope = composed(app, to)
    mail = received(envelope)
    assert sorted(mail.keys()) == sorted(HEADERS)
    assert [spec(address) for address in mail["To"].addresses] == [envelope.recipient]
    assert envelope.recipient == emails.routed(to)


@FUZZ
@given(value=st.text(max_size=3_000))
@example(value="x\r\nBcc: eve@evil.example\r\n\r\nbody")
@example(value="\x00\x1b[31m\u202e\u2028X-Evil: 1")
@example(value="x" * 100_000)
@example(value="\r\n.\r\nMAIL FROM:<eve@evil.example>")
def test_no_value_adds_a_header_or_a_part(app: App, value: str) -> None:
    """Whatever a placeholder holds, the mail has its headers, its one recipient and its two parts."""
    core = app.core
    courier = MailCourier(core.settings, core.world, core.keyring, core.store, mail_sender(core.settings, core.world))
    words = {"device": value, "ip": value, "when": value, "forgot_url": value}
    mail = received(courier.compose("dlv_1", "new_device", EMAIL, "en", words, at=START))
    assert sorted(mail.keys()) == sorted(HEADERS)
    assert [address.addr_spec for address in mail["To"].addresses] == [EMAIL]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert {name for part in mail.iter_parts() for name in part} <= {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assume("\x00" not in value)
    assert " ".join(value.split())[:50] in " ".join(halves(mail)[0].split())


@pytest.mark.parametrize("kind", ASK)
def test_nothing_that_a_mail_carries_lies_in_the_database(free: App, kind: str) -> None:
    """Promise 1 of the contract: neither file nor log of the database has the link's secret or the code, before or after sending."""
    Client(free).register()
    path = ASK[kind](free)
    secret = path.rpartition(".")[2]
    assert len(secret) >= 20
    told = [secret.encode()]
    if kind not in ("reset", "undo"):
        told.append(code(free, NEW if kind == "change" else EMAIL).encode())
    database = Path(free.core.store.path)
    content = b"".join(file.read_bytes() for file in database.parent.iterdir() if file.name.startswith(database.name))
    assert Path(f"{database}-wal").stat().st_size > 0
    assert EMAIL.encode() in content
    assert [one for one in told if one in content] == []
    assert use(free, path).status == 200, "it was the right one"


def disable(app: App) -> None:
    users.set_status(app.core, account_id(app), "disabled", CLI)


def ask(path: str, **body: Any) -> Callable[[App], None]:
    """Ask for a mail, and deliver nothing."""

    def asking(app: App) -> None:
        assert Client(app).post(path, {"email": EMAIL, **body}).status == 202

    return asking


MAGIC, RESET, VERIFY = ask("/login/magic"), ask("/password/forgot"), ask("/email/verify")
NOBODY = {
    "an unknown address and a reset": (False, [RESET], 1),
    "an unknown address and a confirmation": (False, [VERIFY], 1),
    "an unknown address that may get no account": (False, [ask("/login/magic", options={"createUser": False})], 1),
    "a disabled account and a magic link": (True, [disable, MAGIC], 1),
    "a disabled account and a reset": (True, [disable, RESET], 1),
    "an account disabled after it asked": (True, [RESET, disable], 1),
    "an address confirmed already": (True, [confirm, VERIFY], 1),
}


@pytest.mark.parametrize(("known", "acts", "needless"), NOBODY.values(), ids=list(NOBODY))
def test_who_can_do_nothing_with_a_mail_gets_none(free: App, known: bool, acts: list[Callable[[App], None]], needless: int) -> None:
    """The rows are there as for anybody; the courier finds nobody to write to, and that is no failure."""
    if known:
        Client(free).register()
    for act in acts:
        act(free)
    before = len(lines(free))
    while free.deliveries.run_once():
        pass
    outcomes = [row["outcome"] for row in rows(free, "SELECT outcome FROM outbox ORDER BY rowid")]
    assert outcomes.count("needless") == needless
    assert outcomes[-1] == "needless"
    assert len(lines(free)) == before
    assert "delivery.failed" not in actions(free)


def lines(app: App) -> list[str]:
    """All mails that went to the log."""
    return [line for line in app.core.world.lines if line.startswith("--- mail to ")]


def test_an_unknown_address_that_may_register_by_magic_link_gets_its_mail(free: App) -> None:
    """It leads to an account all the same: the first use makes it."""
    MAGIC(free)
    assert use(free, link(free)).status == 200
    assert ends(free) == {EMAIL: "sent"}


@pytest.mark.parametrize("asking", [MAGIC, RESET, VERIFY], ids=["magic", "reset", "verify"])
def test_of_links_asked_for_before_the_first_went_out_only_the_last_is_mailed(free: App, asking: Callable[[App], None]) -> None:
    """A superseded link is of no use; the one mail that goes out has the link that counts."""
    Client(free).register()
    for _ in range(3):
        asking(free)
    path = link(free)
    assert [row["outcome"] for row in rows(free, "SELECT outcome FROM outbox ORDER BY rowid")] == ["needless", "needless", "sent"]
    assert len(lines(free)) == 1
    assert use(free, path).status == 200


def test_a_link_that_ran_out_in_the_outbox_is_not_mailed(free: App, world: FakeWorld) -> None:
    """After a long outage nobody gets a mail with a link that is no longer valid."""
    Client(free).register()
    RESET(free)
    world.advance(30 * 60)
    assert free.deliveries.run_once() == 1
    assert ends(free) == {EMAIL: "needless"}
    assert lines(free) == []


def test_a_link_used_before_its_mail_went_out_again_is_not_mailed_again(free: App) -> None:
    """A mail revived after its link was used has nothing to say."""
    Client(free).register()
    RESET(free)
    (row,) = rows(free, "SELECT id FROM outbox")
    assert use(free, link(free)).status == 200
    before = len(lines(free))
    outbox.retry(free.core, row["id"])
    free.deliveries.run_once()
    assert message(free, row["id"]).outcome == "needless"
    assert [line for line in lines(free)[before:] if "password/reset" in line] == []


def test_mail_to_a_deleted_account_goes_with_it(free: App) -> None:
    """What waited for an account that is gone is gone, too; only the goodbye is left."""
    Client(free).register(options={"sendEmail": True, "verifyEmail": True})
    removal.delete(free.core, account_id(free), CLI, EVERYTHING)
    assert [json.loads(row["payload"])["letter"] for row in rows(free, "SELECT payload FROM outbox")] == ["goodbye"]


def test_a_mail_asked_for_under_an_older_key_has_the_link_of_that_key(tmp_path: Path) -> None:
    """A new secret key between the asking and the mailing makes no link void."""
    keys = [character * 8 + "0123456789abcdefghijklmnopqrstuv" for character in "ab"]
    with running(tmp_path, secret_key=keys[0], **UNLIMITED) as app:
        Client(app).register(**VERIFIED_LATER)
    with running(tmp_path, secret_key=keys[1], secret_key_previous=keys[0], **UNLIMITED) as app:
        assert use(app, link(app)).status == 200


def test_what_was_tried_until_its_link_ran_out_is_given_up_on_record(app: App, world: FakeWorld) -> None:
    """Nobody needs it any more, but the operator must see that a server was away for so long; what was never tried is needless."""
    for to in ("tried@mail.com", "fresh@mail.com"):
        Client(app).post("/login/magic", {"email": to})
    tried, fresh = (row["id"] for row in rows(app, "SELECT id FROM outbox ORDER BY rowid"))
    with app.core.store.write() as tx:
        (claimed,) = (one for one in tx.outbox.claim("mail", 2, 1) if one.id == tried)
        tx.outbox.put_off(claimed, world.now(), "refused")
    world.advance(601)
    assert app.deliveries.run_once() == 2
    ended = {row["id"]: (row["outcome"], row["last_error"]) for row in rows(app, "SELECT * FROM outbox")}
    assert ended == {tried: ("dead", "it ran out before it could be sent: refused"), fresh: ("needless", None)}
    assert actions(app).count("delivery.failed") == 1
