"""Where a browser may be sent: nothing that any reader of URLs takes for another site (ATTACKS C5)."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.rules.redirects import MAX_LENGTH, is_allowed

GOOD = "https://good.example"
ORIGINS = {GOOD, "http://127.0.0.1:8000", "https://app.example:8443", "http://[::1]:3000"}
DEFAULTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}


def as_browser(url: str) -> str | None:
    """The origin that a browser goes to from a page of ours (WHATWG URL: trimming, tabs, backslashes, user info); None: no site."""
    text = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(0x21)))))
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    scheme = match[1].lower() if match else "https"
    if scheme not in DEFAULTS:
        return None
    rest = (text[match.end() :] if match else text).replace("\\", "/")
    if not match and not rest.startswith("//"):
        return "https://our.own.example"
    authority = re.split(r"[/?#]", rest.lstrip("/"), maxsplit=1)[0]
    host, colon, port = (
        authority.rpartition("@")[2].partition(":") if "[" not in authority else authority.rpartition("@")[2].partition("]:")
    )
    host = host + "]" if colon == "]:" else host
    number = str(int(port)) if port.isascii() and port.isdigit() else port
    return f"{scheme}://{host.lower()}" + (f":{number}" if number and number != DEFAULTS[scheme] else "")


@pytest.mark.parametrize(
    "target",
    [
        GOOD,
        f"{GOOD}/",
        f"{GOOD}/a/b?c=d&e=%2F#f",
        f"{GOOD}?next=https://evil.example",
        f"{GOOD}#@evil.example",
        f"{GOOD}/@evil.example",
        f"{GOOD}:443/a",
        f"{GOOD}//evil.example",
        "http://127.0.0.1:8000/account",
        "https://app.example:8443/x",
        "http://[::1]:3000/",
    ],
)
def test_urls_of_listed_origins_are_allowed(target: str) -> None:
    """With any path, query and fragment, and the default port written out."""
    assert is_allowed(target, ORIGINS)
    assert as_browser(target) in ORIGINS


ATTACKS = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/evil", "evil",
    "?x", "#x", "", " ", "https:evil.example", "https:/evil.example", "https:///evil.example", "https:good.example",
    "https:/good.example", "https:///good.example", "https://evil.example", "https://good.example@evil.example",
    "https://good.example:443@evil.example", "https://good.example%40evil.example", "https://good.example%2eevil.example",
    "https://good.example.evil.example", "https://evil-good.example", "https://good.example\\@evil.example",
    "https://good.example\\.evil.example", "https://good.example\\evil", "https://evil.example\\@good.example",
    "https://evil.example#@good.example", "https://evil.example?@good.example", "https://evil.example/@good.example",
    "https://user@good.example", "https://user:pw@good.example/", "https://@good.example", "https://good.example;evil",
    "https://good.example,evil", "https://good.example'", "https://good.example!", "ht\ttps://good.example", "https://go\nod.example",
    "https://good.example\n.evil.example", "https://good.example\t@evil.example", "https://\tevil.example", "https://good.example /x",
    " https://good.example", "https://good.example ", "\nhttps://good.example", "https://good.example/\r\nX: y",
    "https://good.example/\0", "\x01https://good.example", "https://good.example\x7f", "https://good.example/\u2028",
    "javascript:alert(1)", "javascript://good.example/%0aalert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x",
    "file:///etc/passwd", "ftp://good.example", "blob:https://good.example/x", "view-source:https://good.example", quote(GOOD, safe=""),
    quote(quote(f"{GOOD}/", safe=""), safe=""), "https%3A%2F%2Fgood.example", "https://%67ood.example", "https://good%2Eexample",
    "https://gооd.example", "https://good。example", "https://ｇood.example", "https://good．example", "https://xn--good-.example",
    "https://good.exämple", "HTTPS://good.example", "Https://good.example", "https://GOOD.example", "https://Good.Example",
    "https://good.example.", "https://good.example:80", "https://good.example:444", "https://good.example:", "https://good.example:abc",
    "https://good.example:99999", "https://good.example:-1", "https://good.example:+443", "https://good.example:4_43",
    "https://good.example:443:443", "https://good.example: 443", "https://good.example:\u0664\u0664\u0663", "http://good.example",
    "http://127.0.0.1", "http://127.0.0.1:8001", "http://127.1:8000", "http://2130706433:8000", "http://0x7f.1:8000",
    "http://localhost:8000", "http://[::ffff:127.0.0.1]:8000", "http://[::1]", "http://[::1]:3001", "http://[::1", "http://::1]:3000",
    "http://[[::1]]:3000", "http://[0:0:0:0:0:0:0:1]:3000", "http://[::1%25eth0]:3000", "http://[good.example]",
    "https://[good.example]/", "https://", "https://app.example", "https://app.example:443", f"{GOOD}/{'a' * MAX_LENGTH}",
    f"{GOOD}/<script>", f'{GOOD}/"', f"{GOOD}/`", f"{GOOD}/{{x}}", f"{GOOD}/^", f"{GOOD}/ä", "*", "null", "https://*",
]  # fmt: skip


@pytest.mark.parametrize("target", ATTACKS)
def test_no_trick_leads_elsewhere(target: str) -> None:
    """Whatever is no plain URL of a listed origin is refused, not mended."""
    assert not is_allowed(target, ORIGINS)


@pytest.mark.parametrize("length", [MAX_LENGTH, MAX_LENGTH + 1])
def test_a_url_has_a_longest_length(length: int) -> None:
    """Just what a body may hold."""
    target = f"{GOOD}/".ljust(length, "a")
    assert is_allowed(target, ORIGINS) is (length == MAX_LENGTH)


def test_without_origins_nothing_is_allowed() -> None:
    """The list is the only permission."""
    assert not any(is_allowed(target, set()) for target in (*ATTACKS, GOOD, "http://127.0.0.1:8000"))


pieces = st.sampled_from(
    [
        "https:",
        "http:",
        "//",
        "/",
        "\\",
        "@",
        ":",
        "443",
        "80",
        "8000",
        "good.example",
        "evil.example",
        "127.0.0.1",
        "[::1]",
        ":3000",
        "?",
        "#",
        ".",
        "%2f",
        "%",
        "\t",
        "\n",
        " ",
        "",
        "０",
        "a",
        "HTTPS://",
        ";",
    ]
)
targets = st.one_of(
    st.lists(pieces, max_size=8).map("".join),
    st.tuples(st.sampled_from(sorted(ORIGINS)), st.text(max_size=12)).map("".join),
    st.tuples(st.sampled_from(sorted(ORIGINS)), st.lists(pieces, max_size=5).map("".join)).map("".join),
)


@given(targets)
@example("https://good.example:0443/")
@example("https://good.example:")
def test_what_is_allowed_is_read_alike_by_every_reader(target: str) -> None:
    """An allowed URL leads to a listed origin, for Python and for a browser, and holds no user info."""
    if not is_allowed(target, ORIGINS):
        return
    parts = urlsplit(target)
    port = f":{parts.port}" if parts.port is not None and str(parts.port) != DEFAULTS[parts.scheme] else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    assert f"{parts.scheme}://{host}{port}" in ORIGINS
    assert as_browser(target) in ORIGINS
    assert parts.username is None
    assert target.isascii()
    assert target.isprintable()
