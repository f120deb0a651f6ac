"""Mail into a folder and onto the log: whole, with its id, and put off while there is no getting rid of it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from authsvc.delivery.senders import Unreachable
from authsvc.flows import outbox
from tests.delivery import FROM, crowd, ends, errors, failures, message, put
from tests.letterbox import files
from tests.mailserver import mail_server
from tests.support import EMAIL, Client, FakeWorld, running


def halves(mail: Any) -> list[list[str]]:
    """The lines of each part."""
    return [part.get_content().splitlines() for part in mail.iter_parts()]


def test_a_folder_gets_one_file_a_mail_named_by_its_id(tmp_path: Path) -> None:
    """Whole mails as a server would get them, and nothing else; the folder is made, for its owner only."""
    folder = tmp_path / "deep" / "mails"
    with running(tmp_path, mail=f"file:{folder}", mail_from=FROM) as app:
        ids = put(app, *crowd(3))
        assert app.deliveries.run_once() == 3
        assert set(ends(app).values()) == {"sent"}
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{one}.eml" for one in ids)
    assert {str(mail["To"]) for mail in files(folder)} == set(crowd(3))
    assert all(b"\n" not in file.read_bytes().replace(b"\r\n", b"") for file in folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_mail_for_a_folder_is_the_one_for_a_server(tmp_path: Path) -> None:
    """What is tried out with files is what will be sent: the same letter, id, date and headers."""
    world = FakeWorld()
    with mail_server(tmp_path) as server, running(tmp_path, world, mail=server.url(), mail_from=FROM) as app:
        (message_id,) = put(app, EMAIL)
        app.deliveries.run_once()
        (got,) = server.wait_for(1)
        outbox.retry(app.core, message_id)
    with running(tmp_path, world, mail=f"file:{tmp_path / 'out'}", mail_from=FROM) as app:
        app.deliveries.run_once()
    (mail,) = files(tmp_path / "out")
    kept = [(name, value) for name, value in mail.items() if name != "Content-Type"]
    assert kept == [
        (name, value) for name, value in got.message.items() if name not in ("Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo")
    ]
    assert [halves(mail)] == [halves(got.message)]


def test_the_same_mail_again_replaces_its_file(tmp_path: Path) -> None:
    """A mail that is delivered twice is one file."""
    with running(tmp_path, mail=f"file:{tmp_path / 'out'}") as app:
        (message_id,) = put(app, EMAIL)
        app.deliveries.run_once()
        outbox.retry(app.core, message_id)
        app.deliveries.run_once()
        assert message(app, message_id).outcome == "sent"
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{message_id}.eml"]


def test_a_folder_that_cannot_be_made_puts_mail_off(tmp_path: Path, world: FakeWorld) -> None:
    """A file in its place: nothing is lost, nothing is half-written, and all goes out once it is gone."""
    (tmp_path / "out").write_text("in the way")
    with running(tmp_path, world, mail=f"file:{tmp_path / 'out'}") as app:
        put(app, *crowd(2))
        app.deliveries.run_once()
        assert ends(app) == dict.fromkeys(crowd(2))
        assert len(errors(app)) == 2
        assert failures(app) == []
        (tmp_path / "out").unlink()
        world.advance(20)
        app.deliveries.run_once()
        assert set(ends(app).values()) == {"sent"}
    assert len(files(tmp_path / "out")) == 2


def test_a_mail_that_cannot_be_written_leaves_nothing_behind_and_delays_no_other(tmp_path: Path, world: FakeWorld) -> None:
    """Where its name is taken by a folder the mail waits; no unfinished file stays, and the others are there."""
    out = tmp_path / "out"
    with running(tmp_path, world, mail=f"file:{out}") as app:
        ids = put(app, *crowd(3))
        (out / f"{ids[0]}.eml" / "in the way").mkdir(parents=True)
        app.deliveries.run_once()
        assert ends(app) == dict.fromkeys(crowd(3), "sent") | {crowd(1)[0]: None}
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{one}.eml" for one in ids)


def test_the_log_gets_the_text_with_link_and_code(tmp_path: Path, world: FakeWorld) -> None:
    """On a workbench the developer reads the mail where the server runs: recipient, subject and the plain half."""
    with running(tmp_path, world, mail="console:") as app:
        Client(app).register(options={"verifyEmail": True})
        assert app.deliveries.run_once() == 1
        (line,) = [line for line in world.lines if line.startswith("--- mail")]
    assert line.startswith(f"--- mail to {EMAIL}: Confirm your e-mail address for authsvc\n")
    assert "http://127.0.0.1:8000/email/verify/" in line
    assert "<p>" not in line
    assert line.endswith("\n---")


def test_whoever_asks_past_the_outbox_is_told(tmp_path: Path) -> None:
    """`send_now` raises what is wrong instead of putting it off."""
    (tmp_path / "out").write_text("in the way")
    with running(tmp_path, mail=f"file:{tmp_path / 'out'}") as app:
        courier = app.deliveries.workers[0]._courier
        envelope = courier.compose("dlv_1", "test", EMAIL, None, {"when": "now"}, at=0)
        with pytest.raises(Unreachable):
            courier.send_now(envelope)
        assert ends(app) == {}
