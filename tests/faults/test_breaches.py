"""A range API that is slow, hangs, babbles or echoes: a new password passes in time, and the log gives nothing of it away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from authsvc.primitives.breaches import hashed
from authsvc.providers import breaches
from tests.openid.peers import Asked, Behaviour, Handler, Peer, endless, hangs, says_bytes, served, trickles
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, running, together

PATH = f"/range/{hashed(PASSWORD).prefix}"
KNOWN = f"{hashed(PASSWORD).suffix}:9"


def echoes(form: str) -> Behaviour:
    """Says back what it was asked for, as debugging servers do."""

    def echo(handler: Handler, asked: Asked) -> None:
        handler.say_raw(form.format(asked.path).encode())

    return echo


def cut_off(handler: Handler, _: Asked) -> None:
    """Promises more than comes."""
    handler.say_raw(f"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{KNOWN}\r\n".encode())


@pytest.mark.parametrize(
    "behaviour",
    [
        hangs,
        trickles,
        endless,
        cut_off,
        echoes("{0}\r\n\r\n"),
        echoes("HTTP/1.1 200 {0}\r\n{0}\r\n\r\n"),
        echoes("HTTP/1.1 {0} OK\r\n\r\n"),
    ],
    ids=["hangs", "trickles", "endless", "cut off", "garbage", "bad header", "bad status"],
)
def test_whatever_comes_the_password_passes_and_stays_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour) -> None:
    """Within the deadline, though the peer goes on; one line in the log, without a digit of the hash."""
    monkeypatch.setattr(breaches, "SECONDS", 0.2 if behaviour in (hangs, trickles) else 20.0)
    world = FakeWorld()
    with served(Peer()) as api, running(tmp_path, world, breach_check="refuse", breach_url=f"{api.url}/range") as app:
        api.behaviours[PATH] = behaviour
        assert Client(app).register(EMAIL, PASSWORD)["user"]["email"] == EMAIL
        assert len(api.at(PATH)) == 1
    told = [line for line in world.lines if "breach check" in line]
    assert len(told) == 1
    assert not [word for word in (PASSWORD, hashed(PASSWORD).prefix, hashed(PASSWORD).suffix) if word in "".join(world.lines)]


def test_an_answer_as_long_as_any_is_read_to_its_end(tmp_path: Path) -> None:
    """2,500 lines, more than a prefix has today with all padding; the last one counts."""
    lines = [f"{number:035X}:{number}" for number in range(2_499)]
    with served(Peer()) as api, running(tmp_path, breach_check="refuse", breach_url=f"{api.url}/range/") as app:
        api.behaviours[PATH] = says_bytes("\r\n".join([*lines, KNOWN]).encode())
        assert Client(app).post("/register", {"email": EMAIL, "password": PASSWORD}).status == 422


def test_a_slow_one_holds_half_of_the_threads_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six that register at once two wait; the other four are through before anybody is answered over there."""
    monkeypatch.setattr(breaches, "SECONDS", 20.0)
    with (
        served(Peer()) as api,
        running(tmp_path, threads=4, breach_check="refuse", breach_url=f"{api.url}/range", limit_register="0") as app,
    ):
        passed: list[int] = []
        api.behaviours[PATH] = waits_for(lambda: len(passed) == 4)

        def register(number: int) -> int:
            status = Client(app).post("/register", {"email": f"{number}@mail.com", "password": PASSWORD}).status
            if status == 201:
                passed.append(number)
            return status

        assert sorted(together(6, register)) == [201] * 4 + [422] * 2
        assert len(api.at(PATH)) == 2


def waits_for(due: Callable[[], bool]) -> Behaviour:
    """Answers, that the password is known, when it is time."""

    def wait(handler: Handler, _: Asked) -> None:
        while not due() and not handler.server.released.wait(0.02):
            pass
        handler.say_bytes(KNOWN.encode())

    return wait
