"""The headers of answers, each by its use: one name may say different things, as `ETag` and `ETag.cached`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Header:
    """What it says, and whether each answer that is described with it has it."""

    about: str
    always: bool = False


HEADERS: Mapping[str, Header] = {
    "ETag": Header("The version, for `If-Match` of the next change.", always=True),
    "ETag.unless-key": Header("The version, for `If-Match` of the next change; an API key has none."),
    "ETag.cached": Header("The version, for `If-None-Match` of the next request.", always=True),
    "Location": Header("Where to.", always=True),
    "Set-Cookie": Header("The tokens, where cookies are wanted; or their end; or what binds to this browser what it has begun."),
    "Retry-After": Header("Seconds.", always=True),
    "Retry-After.if-known": Header("Seconds; `too_many_attempts` has none: that code is not accepted any more."),
    "WWW-Authenticate": Header("RFC 6750 section 3.", always=True),
    "X-Request-Id": Header("The caller's own, or one of ours; the log has it.", always=True),
    "RateLimit": Header("What is left of the limits that were charged."),
    "RateLimit-Policy": Header("Which these are."),
}
_EVERYWHERE = ("X-Request-Id",)
_LIMITED = ("RateLimit", "RateLimit-Policy")


def components() -> dict[str, Any]:
    """All of them, as the document has them."""
    return {
        use: {"description": header.about, **({"required": True} if header.always else {}), "schema": {"type": "string"}}
        for use, header in HEADERS.items()
    }


def of_answer(uses: Iterable[str], *, limited: bool) -> dict[str, Any]:
    """These, and what every answer has, or every one of a limited route."""
    return {name(use): {"$ref": f"#/components/headers/{use}"} for use in (*uses, *_EVERYWHERE, *(_LIMITED if limited else ()))}


def of_refusal(status: int, codes: Iterable[str]) -> dict[str, Any]:
    """Those of a refusal; limits may have been charged before it."""
    uses = ["WWW-Authenticate"] if status == 401 else []
    if status in (429, 503):
        uses.append("Retry-After.if-known" if "too_many_attempts" in codes else "Retry-After")
    return of_answer(uses, limited=True)


def name(use: str) -> str:
    """What is sent."""
    return use.partition(".")[0]
