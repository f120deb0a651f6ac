"""What a mail says of a device: words from a fixed list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.rules.devices import _PROGRAMS, _SYSTEMS, describe

WORDS = {name for _, name in (*_PROGRAMS, *_SYSTEMS)}
MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (f"{MOZILLA} (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge on Windows"),
        (
            f"{MOZILLA} (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Chrome on Windows",
        ),
        (f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15", "Safari on macOS"),
        (f"{MOZILLA} (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1", "Safari on iPhone"),
        (f"{MOZILLA} (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 CriOS/126.0 Mobile Safari/604.1", "Chrome on iPhone"),
        (f"{MOZILLA} (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        ("curl/8.8.0", "curl"),
        ("python-requests/2.32", "a Python program"),
        ("something (Windows)", "Windows"),
        ("", "an unknown program"),
        (None, "an unknown program"),
    ],
)
def test_common_devices_are_named(agent: str | None, expected: str) -> None:
    """The program before the system; of several names that a browser claims, its own."""
    assert describe(agent) == expected


@given(st.none() | st.text(max_size=200) | st.sampled_from([f"Firefox {mark} <a href='https://evil.example'>" for _, mark in _SYSTEMS]))
def test_nothing_that_a_stranger_wrote_comes_through(agent: str | None) -> None:
    """Only words of the list are said, whatever the header holds (ATTACKS C14)."""
    said = describe(agent)
    assert said == "an unknown program" or set(said.split(" on ")) <= WORDS
