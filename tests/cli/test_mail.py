"""`authsvc mail preview NAME` and `authsvc mail test ADDRESS`: letters before they are needed, and whether they get out."""

from __future__ import annotations

import json

import pytest

from authsvc.delivery.letters import COMMON, LETTERS
from tests.cli.conftest import Cli
from tests.delivery import FROM
from tests.letterbox import files
from tests.mailserver import Answer, AnswerFor, mail_server

TO = "ops@example.org"
LOGIN = {"user": "us@er", "password": "hunter2:/@?#%"}


@pytest.mark.parametrize("name", LETTERS)
def test_each_letter_can_be_looked_at(cli: Cli, name: str) -> None:
    """The text with its subject and made-up values, whole; nothing is written to the database."""
    ran = cli("mail", "preview", name)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Subject: ")
    assert "$" not in ran.out
    assert {value for value in LETTERS[name].values() if value not in ran.out} == set()
    assert not (cli.folder / "authsvc.db").exists()


@pytest.mark.parametrize("name", LETTERS)
def test_each_letter_can_be_looked_at_as_html_and_as_an_object(cli: Cli, name: str) -> None:
    """--html prints the other half, --json both with subject and locale; --locale picks the language."""
    html = cli("mail", "preview", name, "--html", "--locale", "de-AT").out
    both = cli.json("mail", "preview", name, "--locale", "de-AT")
    assert html.strip() == both["html"].strip()
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert set(both) == {"subject", "locale", "text", "html"}
    assert both["locale"] == "de"
    assert "Guten Tag" in both["text"]
    assert COMMON["service"] in both["subject"]


def test_a_preview_has_the_settings_name_and_letters(cli: Cli) -> None:
    """What is shown is what would be sent: the service's name and the own folder's files."""
    own = cli.folder / "letters" / "en" / "test.txt"
    own.parent.mkdir(parents=True)
    own.write_text("Subject: Ours from $service\n\nOwn words, $when.\n", "utf-8")
    ran = cli("mail", "preview", "test", AUTHSVC_NAME="Müller & Co", AUTHSVC_LETTERS=str(own.parents[1]))
    assert ran.out.startswith("Subject: Ours from Müller & Co\n\nOwn words, ")
    html = cli("mail", "preview", "test", "--html", AUTHSVC_NAME="Müller & Co", AUTHSVC_LETTERS=str(own.parents[1])).out
    assert "Müller &amp; Co" in html


def test_a_preview_tells_of_a_fault_in_an_own_letter(cli: Cli) -> None:
    """Exit status 1 and the file's name."""
    own = cli.folder / "letters" / "en" / "test.txt"
    own.parent.mkdir(parents=True)
    own.write_text("Subject: x\n\n$wehn\n", "utf-8")
    ran = cli("mail", "preview", "test", AUTHSVC_LETTERS=str(own.parents[1]))
    assert (ran.status, ran.out) == (1, "")
    assert "en/test.txt" in ran.err
    assert "wehn" in ran.err


@pytest.mark.parametrize("arguments", [("preview",), ("preview", "verfy"), ("test",), ("preview", "test", "--lang", "de"), ()])
def test_wrong_use_is_told_as_such(cli: Cli, arguments: tuple[str, ...]) -> None:
    """An unknown letter, a missing argument or option: exit status 2."""
    assert cli("mail", *arguments).status == 2


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_a_test_mail_goes_out_at_once(cli: Cli, tls: str) -> None:
    """Past the outbox, over the server of the settings, with its password: exit status 0 once the server has it."""
    with mail_server(cli.folder, tls=tls, **LOGIN) as server:
        mail = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM}
        ran = cli("mail", "test", TO, **mail)
        assert (ran.status, ran.out, ran.err) == (0, f"sent to {TO}\n", "")
        (got,) = server.messages
        assert (got.sender, got.recipients, got.message["Subject"]) == (FROM, [TO], "Test e-mail from authsvc")
        again = cli("mail", "test", TO, "--json", "--locale", "de", **mail)
        told = json.loads(again.out)
        assert told["sent"] == TO
        assert server.messages[1].message["Message-ID"] == f"<{told['id']}@example.com>"
        assert server.messages[1].message["Subject"] == "Test-E-Mail von authsvc"
    assert cli("outbox", "list", "--all").out == ""


def test_a_test_mail_to_a_folder_lies_there(cli: Cli) -> None:
    """The same command tries out a workbench."""
    assert cli("mail", "test", TO, AUTHSVC_MAIL=f"file:{cli.folder / 'out'}").status == 0
    (mail,) = files(cli.folder / "out")
    assert str(mail["To"]) == TO


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user here", "451 4.3.0 come back later", "421 4.3.2 closing"])
@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
def test_a_refusal_is_told_in_the_servers_words(cli: Cli, reply: str, at: str) -> None:
    """Exit status 1, one line on standard error, nothing on standard output, no retry behind one's back."""
    with mail_server(cli.folder, behaviour=Answer([reply], at), **LOGIN) as server:
        ran = cli("mail", "test", TO, AUTHSVC_MAIL=server.url(), AUTHSVC_MAIL_FROM=FROM)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == f"authsvc: the mail was not sent: {reply}\n"
        assert server.messages == []
    assert cli("outbox", "list", "--all").out == ""


def test_a_wrong_password_is_told_without_it(cli: Cli) -> None:
    """The server's 535, and no word of user or password, of ours or of the right one."""
    with mail_server(cli.folder, **LOGIN) as server:
        url = server.url().replace("hunter2", "hunter3")
        ran = cli("mail", "test", TO, AUTHSVC_MAIL=url, AUTHSVC_MAIL_FROM=FROM)
        assert server.messages == []
    assert (ran.status, ran.out) == (1, "")
    assert "535" in ran.err
    assert [word for word in ("hunter", "us@er", "us%40er") if word in ran.err] == []


def test_an_untrusted_or_missing_server_is_told(cli: Cli) -> None:
    """A certificate that nobody vouches for, no TLS, nobody there: exit status 1 and why, in one line."""
    with mail_server(cli.folder) as server:
        untrusted = cli("mail", "test", TO, AUTHSVC_MAIL=server.url(ca=None))
    gone = cli("mail", "test", TO, AUTHSVC_MAIL=server.url())
    with mail_server(cli.folder, tls="none") as bare:
        plain = cli("mail", "test", TO, AUTHSVC_MAIL=bare.url(tls=None))
        assert bare.messages == []
    assert server.messages == []
    for ran, word in ((untrusted, "certificate"), (gone, "refused"), (plain, "STARTTLS")):
        assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert word in ran.err
        assert ran.err.startswith("authsvc: the mail was not sent: ")


def test_an_address_that_is_none_is_not_tried(cli: Cli) -> None:
    """Exit status 1, and no connection is made."""
    with mail_server(cli.folder) as server:
        for address in ("nobody", "a@b@c", "x@example.com\r\nBcc: y@example.com", ""):
            ran = cli("mail", "test", address, AUTHSVC_MAIL=server.url())
            assert (ran.status, ran.out) == (1, ""), address
    assert server.connections == 0


def test_a_test_mail_has_the_words_of_the_server_even_where_others_pass(cli: Cli) -> None:
    """One address refused, another taken: each run tells its own."""
    with mail_server(cli.folder, behaviour=AnswerFor({TO: "550 not you"})) as server:
        mail = {"AUTHSVC_MAIL": server.url(), "AUTHSVC_MAIL_FROM": FROM}
        assert "550 not you" in cli("mail", "test", TO, **mail).err
        assert cli("mail", "test", "else@example.org", **mail).status == 0
