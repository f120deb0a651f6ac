"""Calls to a provider within one deadline; what comes back is JSON within bounds, or the exchange has failed."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import urlencode

from authsvc.http.outbound import AGENT, Answered, Call, Unreachable, call
from authsvc.problems import Problem
from authsvc.world import WARNING, World

SECONDS = 10.0  # of all calls that one request makes
MAX_BYTES = 262_144  # key sets of large providers have tens of kilobytes
SHOWN = 200  # characters of what a provider says, for the log


class Calls:
    """What one request may ask of a provider."""

    def __init__(self, world: World, provider: str, until: float | None = None) -> None:
        self._world = world
        self._provider = provider
        self._secrets: set[str] = set()
        self.until = world.monotonic() + SECONDS if until is None else until

    def get(self, url: str, headers: Mapping[str, str] | None = None, *, withheld: Container[int] = ()) -> tuple[Any, Answered]:
        """A JSON value and the answer that it came in; None where a status says that it is kept from us."""
        return self._call(Call("GET", url, self._headers(headers)), withheld)

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> tuple[Any, Answered]:
        """The same for a form that is sent."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._call(Call("POST", url, self._headers(sent), urlencode(form).encode()))

    def hide(self, *secrets: str) -> None:
        """Keep these out of the log, if the provider repeats them."""
        self._secrets |= {secret for secret in secrets if secret}

    def failed(self, why: str) -> Problem:
        """The refusal; why is for the log only."""
        for secret in self._secrets:
            why = why.replace(secret, "***")
        return Problem("oauth_exchange_failed", reason=f"{self._provider}: {why}")

    def _call(self, wanted: Call, withheld: Container[int] = ()) -> tuple[Any, Answered]:
        place = wanted.url.partition("?")[0]
        left = self.until - self._world.monotonic()
        if left <= 0:
            raise self.failed(f"no time left for {place}")
        bounded = Call(wanted.method, wanted.url, wanted.headers, wanted.body, seconds=left, most_bytes=MAX_BYTES)
        try:
            answered = call(self._world, bounded)
        except Unreachable as error:
            raise self.failed(f"{place}: {error}") from None
        try:
            value = json.loads(answered.body)
        except (ValueError, RecursionError):
            value = None
        if answered.status in withheld:
            self._world.log(f"oauth: {self._provider}: {place}: {answered.status} {gist(value)}", WARNING)
            return None, answered
        if not answered.ok or value is None:
            raise self.failed(f"{place}: {answered.status} {gist(value)}")
        return value, answered

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {"Accept": "application/json", **AGENT, **(more or {})}


def gist(value: Any) -> str:
    """What an error answer says of itself (RFC 6749 section 5.2), as one line; nothing else of it."""
    if not isinstance(value, dict):
        return "without a JSON object"
    told = [value.get(name) for name in ("error", "error_description", "message")]
    return " ".join(ascii(text)[:SHOWN] for text in told if text is not None) or "without an error code"


def member(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path of an answer; None where a step is missing."""
    for step in path:
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
