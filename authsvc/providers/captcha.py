"""Asking a CAPTCHA vendor about a token: one call within a deadline, and every claim of the answer checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from authsvc.config.captcha import TEST_SECRETS
from authsvc.config.settings import Settings
from authsvc.http.outbound import AGENT, Answered, Call, Unreachable, call
from authsvc.http.slots import Slots
from authsvc.primitives.captcha import Wrong
from authsvc.providers.captcha_vendors import VENDORS, Vendor
from authsvc.world import World

SECONDS = 5.0
SHOWN = 200  # characters of what a vendor says, for the log
_CODE = re.compile(r"[a-z-]{1,60}")  # what looks otherwise may be the token
# What a token of its own making might bring about at the vendor: nobody is let in for that, whatever the settings say.
PROVOKED = frozenset({"bad-request"})


class Down(Exception):
    """The vendor did not say whether the token is good; the message is for the log. `provoked`: the sender may have caused
    it."""

    def __init__(self, why: str, *, provoked: bool = False) -> None:
        super().__init__(why)
        self.provoked = provoked


class Inquiry:
    """A vendor with our secret at it."""

    def __init__(self, vendor: Vendor, settings: Settings, world: World, slots: Slots) -> None:
        self.vendor = vendor
        self._settings = settings
        self._world = world
        self._slots = slots
        self._url = settings.captcha_verify_url or vendor.verify_url
        self._hosts = (settings.public_url.host, *(urlsplit(origin).hostname for origin in settings.app_origins))
        # A workbench may use the vendor's keys for tests, whose answers tell of no host, action or score of ours.
        self._trial = settings.captcha_secret in TEST_SECRETS

    def ask(self, token: str, action: str) -> None:
        """Returns if the token is good for this action. Raises Wrong, Down, or busy."""
        if len(token) > self.vendor.most_token or not (token.isascii() and token.isprintable()) or " " in token:
            raise Wrong("malformed")
        with self._slots.taken("the CAPTCHA vendor"):
            said, status = self._answer(token)
        if said.get("success") is not True or status != 200:
            raise self._refusal(said, status)
        if self._trial:
            return
        if said.get("hostname") not in self._hosts:
            raise Wrong("hostname")
        if self.vendor.tells_action and said.get("action") != action:
            raise Wrong("action")
        if self.vendor.tells_score and not self._is_high(said.get("score")):
            raise Wrong("score")

    def _answer(self, token: str) -> tuple[Mapping[str, Any], int]:
        # `remoteip` is never sent: a wrong one, of a proxy that nobody declared, fails everybody, and it is personal data.
        form = {"secret": self._settings.captcha_secret, "response": token}
        if self.vendor.takes_site_key:
            form["sitekey"] = self._settings.captcha_site_key
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            **AGENT,
        }
        try:
            answered = call(self._world, Call("POST", self._url, headers, urlencode(form).encode(), seconds=SECONDS))
        except Unreachable as error:
            raise Down(str(error)) from None
        return _object(answered), answered.status

    def _refusal(self, said: Mapping[str, Any], status: int) -> Exception:
        """What an answer means that is no success."""
        listed = said.get("error-codes")
        codes = {code for code in listed if isinstance(code, str)} if isinstance(listed, list) else set()
        ours, its = codes & self.vendor.our_fault, codes & self.vendor.its_fault
        told = f"{status} {' '.join(sorted(filter(_CODE.fullmatch, codes)))[:SHOWN] or 'without an error code'}"
        if ours:
            advice = "look at AUTHSVC_CAPTCHA_SECRET and AUTHSVC_CAPTCHA_SITE_KEY"
            return Down(f"IT REFUSES US, not the person ({told}): {advice}", provoked=ours <= PROVOKED)
        if its or said.get("success") is not False:
            return Down(told, provoked=400 <= status <= 499)
        return Wrong("refused")

    def _is_high(self, score: Any) -> bool:
        return type(score) in (int, float) and self._settings.captcha_score <= score <= 1


def inquiry(settings: Settings, world: World, slots: Slots) -> Inquiry | None:
    """Where a vendor is asked; None where the CAPTCHA is built in or off."""
    vendor = VENDORS.get(settings.captcha)
    return Inquiry(vendor, settings, world, slots) if vendor else None


def _object(answered: Answered) -> Mapping[str, Any]:
    try:
        value = json.loads(answered.body)
    except (ValueError, RecursionError):
        value = None
    if answered.status >= 500 or not isinstance(value, dict):
        raise Down(
            f"{answered.status}, {'a JSON object' if isinstance(value, dict) else 'no JSON object'}", provoked=400 <= answered.status <= 499
        )
    return value
