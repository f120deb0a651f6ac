"""traceparent (W3C Trace Context): what is well-formed names a trace, all else names none, and calls carry it on."""

from __future__ import annotations

import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.http import tracing
from authsvc.http.outbound import Call, call
from authsvc.http.request import Request
from authsvc.world import Trace, World
from tests.hooks import receiving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (HEADER, Trace(TRACE, 1)),
        (f"00-{TRACE}-{PARENT}-00", Trace(TRACE, 0)),
        (f"00-{TRACE}-{PARENT}-03", Trace(TRACE, 3)),
        (f"00-{TRACE}-{PARENT}-ff", Trace(TRACE, 3)),  # flags that mean nothing yet are not passed on
        (f"cc-{TRACE}-{PARENT}-01", Trace(TRACE, 1)),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", Trace(TRACE, 1)),
        (f"01-{TRACE}-{PARENT}-01-", Trace(TRACE, 1)),
    ],
)
def test_what_is_well_formed_names_a_trace(header: str, trace: Trace) -> None:
    """Version 00 to the letter; of a later one the fields that it shares with 00."""
    assert tracing.parse(header) == trace


@pytest.mark.parametrize(
    "header",
    [
        "",
        HEADER + "-",
        HEADER + "-more",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-001",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.what",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01",
        f" {HEADER}",
        f"{HEADER} ",
        f"{HEADER}\n",
        f"{HEADER},{HEADER}",
        f"00-{TRACE[:-1]}\u0661-{PARENT}-01",
    ],
)
def test_what_is_not_names_none(header: str) -> None:
    """It is no reason to refuse anything, and goes nowhere."""
    assert tracing.parse(header) is None


@given(
    st.text(st.characters(codec="latin-1"), max_size=80)
    | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
)
def test_any_header_is_parsed_or_none(header: str) -> None:
    """Whatever comes: a trace whose id is 32 digits and not zero, or none."""
    trace = tracing.parse(header)
    assert trace is None or (re.fullmatch("[0-9a-f]{32}", trace.id) and trace.id in header and int(trace.id, 16) and 0 <= trace.flags <= 3)


@pytest.mark.parametrize("header", [HEADER, f"00-{TRACE}-{PARENT}-00", None, "nonsense"])
def test_a_call_that_a_request_makes_belongs_to_its_trace(header: str | None) -> None:
    """The same trace and flags under a new span, each time another; without a trace, or a request, no header."""
    world = World()
    with receiving() as receiver:
        world.mine.errand = made("r1", header)
        for _ in range(2):
            assert call(world, Call("POST", receiver.url(), body=b'{"type": "x"}')).ok
        world.mine.errand = None
        assert call(world, Call("POST", receiver.url(), body=b'{"type": "x"}')).ok
    *first, last = [{name.lower(): value for name, value in got.headers.items()}.get("traceparent") for got in receiver.got]
    assert last is None
    if made("r1", header).trace is None:
        assert first == [None, None]
    else:
        assert {sent[:36] + sent[-3:] for sent in first} == {header[:36] + header[-3:]}
        assert all(tracing.parse(sent) for sent in first)
        assert len({sent[36:52] for sent in [*first, header]}) == 3


def test_a_thread_works_for_one_request_at_a_time() -> None:
    """What another thread works for is none of its business."""
    world, seen = World(), []
    world.mine.errand = made("r1", None)
    thread = threading.Thread(target=lambda: seen.append(world.mine.errand))
    thread.start()
    thread.join()
    assert (seen, world.mine.errand.id, World().mine.errand) == ([None], "r1", None)


def made(request_id: str, header: str | None) -> Request:
    return Request({"REQUEST_METHOD": "GET", **({"HTTP_TRACEPARENT": header} if header else {})}, request_id)
