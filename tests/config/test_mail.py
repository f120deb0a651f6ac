"""Promises of config/mail.py: each way to get rid of mail has one spelling, a password goes to nobody by mistake, and none is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsvc.config import mail, sources
from authsvc.config.mail import MailTarget, Sender
from authsvc.problems import Refused

FUZZ = settings(deadline=None)

FORMS = "use smtp://user:password@host:587, smtps://user:password@host:465, file:FOLDER or console:"
PASSWORD = "hunter2:/@?#%"
QUOTED = quote(PASSWORD, safe="")


def outcome(parser: Callable[[str], Any], text: str) -> Any:
    """What a parser makes of a text, or the fault that it finds."""
    try:
        return parser(text)
    except ValueError as error:
        return error


def refused(parser: Callable[[str], Any], text: str) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        parser(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("console:", MailTarget("console")),
        (" console:\n", MailTarget("console")),
        ("file:mails", MailTarget("file", folder="mails")),
        ("file:/var/spool/mails", MailTarget("file", folder="/var/spool/mails")),
        ("file:///var/spool/mails", MailTarget("file", folder="/var/spool/mails")),
        ("file:a b/c:d", MailTarget("file", folder="a b/c:d")),
        ("smtp://mail.example.com", MailTarget("smtp", "mail.example.com", 587)),
        ("smtp://mail.example.com/", MailTarget("smtp", "mail.example.com", 587)),
        ("smtp://Mail.Example.COM:25", MailTarget("smtp", "mail.example.com", 25)),
        ("smtps://mail.example.com", MailTarget("smtps", "mail.example.com", 465)),
        ("smtps://mail.example.com:587", MailTarget("smtps", "mail.example.com", 587)),
        ("smtp://u:p@mail.example.com", MailTarget("smtp", "mail.example.com", 587, "u", "p")),
        (f"smtps://me%40example.com:{QUOTED}@mail.example.com", MailTarget("smtps", "mail.example.com", 465, "me@example.com", PASSWORD)),
        ("smtp://u:p%C3%A9@mail.example.com", MailTarget("smtp", "mail.example.com", 587, "u", "pé")),
        ("smtp://mail.example.com?tls=required", MailTarget("smtp", "mail.example.com", 587)),
        ("smtp://mail.example.com:25?tls=none", MailTarget("smtp", "mail.example.com", 25, tls="none")),
        ("smtp://mail.example.com?ca=/etc/ca.pem", MailTarget("smtp", "mail.example.com", 587, ca="/etc/ca.pem")),
        ("smtps://mail.example.com?tls=required&ca=a%20b.pem", MailTarget("smtps", "mail.example.com", 465, ca="a b.pem")),
        ("smtp://192.0.2.1", MailTarget("smtp", "192.0.2.1", 587)),
        ("smtp://[2001:db8::1]:25", MailTarget("smtp", "2001:db8::1", 25)),
    ],
)
def test_each_way_to_send_mail_has_its_form(value: str, expected: MailTarget) -> None:
    """A server by STARTTLS or by TLS from the start, each with its port; a folder; or the log. Credentials are percent-decoded."""
    assert mail.parse_target(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "x",
            "console",
            "console:x",
            "console://",
            "CONSOLE:",
            ":",
            "file",
            "file:",
            "file:/",
            "file://",
            "file:///",
            "file:a\0b",
        ),
        *("smtp:", "smtp:mail.example.com", "smtp://", "smtp:///x", "smtp://:25", "mail.example.com", "mail.example.com:25"),
        *("http://mail.example.com", "mailto:a@example.com", "smtp+tls://mail.example.com", "//mail.example.com", "smtp:/mail.example.com"),
        *("smtp://mail.example.com/x", "smtp://mail.example.com#x", "smtp://h:99999", "smtp://h:-1", "smtp://h:x", "smtp://h:2 5"),
        *("smtp://h_x", "smtp://-h", "smtp://h.", "smtp://h x", "smtp://h,i", "smtp://bücher.example", "smtp://h%2ex", "smtp://[::1"),
        *(
            "smtp://[::1%25eth0]",
            "smtp://h?tls",
            "smtp://h?x=1",
            "smtp://h?tls=none&x=1",
            "smtp://h?TLS=none",
            "smtp://h?user=u&password=p",
        ),
        *("smtp://u:p/q@h", "smtp://u:1/q@h", "smtp://u:p?q@h", "smtp://u:1?q@h", "smtp://u:p#q@h", "smtp://u:1#q@h"),
    ],
    ids=ascii,
)
def test_another_form_is_refused(value: str) -> None:
    """What is none of the forms, or a password with a character that must be percent-encoded, is told how it is written."""
    assert refused(mail.parse_target, value) == FORMS


@pytest.mark.parametrize("value", ["smtp://h:0", "smtps://u:p@h:0"])
def test_port_0_is_no_port(value: str) -> None:
    """A port that nobody can listen on is a slip, not the default."""
    assert refused(mail.parse_target, value)


@pytest.mark.parametrize("value", ["smtp://h?tls=none&tls=required", "smtp://h?tls=required&tls=none", "smtp://h?ca=a&ca=b"])
def test_an_option_given_twice_is_refused(value: str) -> None:
    """What can be read in two ways is read in none: least of all may the weaker one win."""
    assert refused(mail.parse_target, value)


@pytest.mark.parametrize("value", ["smtp://u:pass\nword@h", "smtp://u:pass\tword@h", "smtp://ma\til.example.com", "smtp://u:p@h\r\n.evil"])
def test_white_space_within_is_refused(value: str) -> None:
    """Nothing is quietly taken out of a password or of a host."""
    assert refused(mail.parse_target, value)


@pytest.mark.parametrize("value", ["smtp://u:%ff@h", "smtp://%c3:p@h", "smtp://u:%ED%A0%80@h"])
def test_credentials_that_are_no_utf_8_are_refused(value: str) -> None:
    """A password that would arrive as another one is a fault at the start, not at the first mail."""
    assert refused(mail.parse_target, value)


@pytest.mark.parametrize("value", ["smtp://u%00:p@h", "smtp://u:p%00@h", "smtp://u:p%0d%0aQUIT@h", "smtp://u%0a:p@h"])
def test_credentials_with_control_characters_are_refused(value: str) -> None:
    """NUL separates the parts of AUTH PLAIN (RFC 4616 section 2), and no password has a line break."""
    assert refused(mail.parse_target, value)


@pytest.mark.parametrize("value", ["smtp://u@h", "smtp://@h", "smtp://u:@h", "smtp://:p@h", "smtps://:@h"])
def test_user_and_password_come_together(value: str) -> None:
    """Half of a pair is a slip, and would fail at the first mail."""
    assert refused(mail.parse_target, value) == "give user and password, percent-encoded, or neither"


@pytest.mark.parametrize("value", ["smtp://h?tls=", "smtp://h?tls=no", "smtp://h?tls=None", "smtps://h?tls=none", "smtp://h?tls=optional"])
def test_tls_is_required_or_plainly_off(value: str) -> None:
    """There is no opportunistic TLS that an attacker could turn off, and none to leave out of smtps."""
    assert refused(mail.parse_target, value) == "the only value of tls is none, and only for smtp://"


@pytest.mark.parametrize(
    "host",
    ["mail.example.com", "192.0.2.1", "0.0.0.0", "10.0.0.1", "[::]", "[fe80::1]", "localhost.example.com", "127.1", "2130706433", "[::2]"],
)
def test_a_password_does_not_leave_the_machine_in_clear(host: str) -> None:
    """Without TLS credentials are for a server on this machine only; without credentials mail may go anywhere."""
    assert "a password needs TLS" in refused(mail.parse_target, f"smtp://u:{QUOTED}@{host}:25?tls=none")
    assert mail.parse_target(f"smtp://{host}:25?tls=none").tls == "none"
    assert mail.parse_target(f"smtp://u:p@{host}").tls == "required"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_a_server_on_this_machine_may_be_given_a_password_without_tls(host: str) -> None:
    """Loopback is not overheard."""
    target = mail.parse_target(f"smtp://u:p@{host}?tls=none")

    assert (target.tls, target.user, target.password) == ("none", "u", "p")


@pytest.mark.parametrize(
    "url",
    [
        *(f"smtp://u:{PASSWORD}@h", f"smtp://u:{QUOTED}@h/x", f"smtp://u:{QUOTED}@h:x", f"smtp://u:{QUOTED}@h?tls={QUOTED}"),
        *(
            f"smtp://u:{QUOTED}@h?tls=none",
            f"ftp://u:{QUOTED}@h",
            f"smtp://:{QUOTED}@h",
            f"smtp://{QUOTED}@h",
            f"smtp://u:{QUOTED}@h?{QUOTED}=1",
        ),
    ],
)
def test_no_refusal_shows_the_password(url: str) -> None:
    """The message goes to a log."""
    with pytest.raises(Refused) as caught:
        sources.from_environment({"AUTHSVC_MAIL": url})

    assert "AUTHSVC_MAIL: " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_is_in_no_text_of_a_target_or_of_settings() -> None:
    """A target or settings that get into a traceback or a log do not take the password with them; the mailer still has it."""
    made = sources.from_dict({"mail": f"smtps://u:{QUOTED}@mail.example.com"})

    assert made.mail.password == PASSWORD
    for shown in (made, made.mail, {"mail": made.mail}, [made]):
        assert "hunter2" not in f"{shown!r} {shown!s} {shown}"
    assert "hunter2" not in str(sources.show(made))
    assert "mail.example.com" not in repr(made)


def test_a_missing_file_of_certificates_is_told_at_the_start(tmp_path: Path) -> None:
    """A typing error in `ca` would otherwise show at the first mail; a folder is no file, and one that is there is taken."""
    present = tmp_path / "ca.pem"
    present.write_text("x")

    for scheme in ("smtp", "smtps"):
        for wrong in (str(tmp_path / "missing.pem"), str(tmp_path), "a%00b"):
            with pytest.raises(Refused) as caught:
                sources.from_dict({"mail": f"{scheme}://mail.example.com?ca={wrong}"})
            assert "AUTHSVC_MAIL: there is no file " in str(caught.value)
        assert sources.from_dict({"mail": f"{scheme}://mail.example.com?ca={present}"}).mail.ca == str(present)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no-reply@example.com", Sender("", "no-reply@example.com")),
        (" no-reply@example.com\n", Sender("", "no-reply@example.com")),
        ("<no-reply@example.com>", Sender("", "no-reply@example.com")),
        ("Example <no-reply@example.com>", Sender("Example", "no-reply@example.com")),
        ("Example<no-reply@example.com>", Sender("Example", "no-reply@example.com")),
        ('"Example" < no-reply@example.com >', Sender("Example", "no-reply@example.com")),
        ("Ärzte & Söhne, Inc. <a+b@xn--bcher-kva.example>", Sender("Ärzte & Söhne, Inc.", "a+b@xn--bcher-kva.example")),
        ("a@localhost", Sender("", "a@localhost")),
        ("a@[192.0.2.1]", Sender("", "a@[192.0.2.1]")),
        ("a@[IPv6:2001:db8::1]", Sender("", "a@[IPv6:2001:db8::1]")),
        ("", Sender("", "")),
        (" ", Sender("", "")),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_name(value: str, expected: Sender) -> None:
    """The name may have any letters; nothing at all means that none is given."""
    assert mail.parse_sender(value) == expected
    assert mail.parse_sender(str(expected)) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("a", "@", "a@", "@b.example", "a b@c.example", "a@b@c.example", "a@b c", "a@b.example, c@d.example", "a@b.example;c@d.example"),
        *(
            "A a@b.example",
            "A <a@b.example",
            "A a@b.example>",
            "A <a@b.example> B",
            "A <>",
            "A <a>",
            "<A> <a@b.example>",
            "A <<a@b.example>>",
        ),
        *("a@b.example\nBcc: c@d.example", "a\r\n@b.example", "A\nBcc: c@d.example <a@b.example>", "A\r <a@b.example>", "a@b.example\0"),
        *("ä@b.example", "a@bücher.example", '"a b"@c.example', "a@b.example (x)", "a\u2028@b.example", "a@b.exa\x0bmple"),
    ],
    ids=ascii,
)
def test_another_sender_is_refused(value: str) -> None:
    """No second address, no header of somebody else's, no address that a server would not take."""
    assert refused(mail.parse_sender, value) == "use no-reply@example.com or Example <no-reply@example.com>"


@pytest.mark.parametrize(
    "character", ["\0", "\x0b", "\x0c", "\x1b", "\x1c", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\ud800"], ids=ascii
)
def test_the_name_of_a_sender_is_printable(character: str) -> None:
    """It stands in the From header of every mail, where control characters, line separators and lone surrogates have no place."""
    assert refused(mail.parse_sender, f"Ex{character}ample <no-reply@example.com>")


ANY_TEXT = st.text(max_size=40)
PIECES = st.lists(
    st.sampled_from(
        ["smtp:", "smtps:", "file:", "//", "u", ":", "p", "@", "h", "[::1]", "?", "tls=none", "ca=", "&", "#", "%", "%00", "/", " "]
    ),
    max_size=9,
).map("".join)


@FUZZ
@given(ANY_TEXT | PIECES | PIECES.map("smtp://u:p@{}".format))
@example("smtp://[")
@example("smtp://\u2100")
def test_any_text_is_a_target_or_a_refusal(text: str) -> None:
    """Whatever is written, a whole target comes out, or what would have been right; a pair of credentials is whole, too."""
    target = outcome(mail.parse_target, text)
    if type(target) is ValueError:
        assert str(target)
        return

    assert target.scheme in ("console", "file", "smtp", "smtps")
    assert bool(target.folder) is (target.scheme == "file")
    assert bool(target.host) is bool(target.port) is target.scheme.startswith("smtp")
    assert bool(target.user) is bool(target.password)
    assert target.tls == "required" or (
        target.scheme == "smtp" and (target.user is None or target.host in ("localhost", "::1", "127.0.0.1"))
    )


@FUZZ
@given(ANY_TEXT | st.lists(st.sampled_from(["a", "@", "b.c", "<", ">", '"', " ", ",", "\n", "é", "\0"]), max_size=9).map("".join))
def test_any_text_is_a_sender_or_a_refusal(text: str) -> None:
    """Whatever is written, one address comes out, or nothing, or what would have been right."""
    sender = outcome(mail.parse_sender, text)
    if type(sender) is ValueError:
        assert str(sender)
        return

    assert sender.address.isascii()
    assert sender.address.count("@") == bool(text.strip())
    assert not set(str(sender.name)) & set("<>\r\n")
