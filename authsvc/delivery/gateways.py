"""Ways to get rid of an SMS: Twilio, any HTTP gateway, a folder or the log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from authsvc.config.settings import Settings
from authsvc.delivery.senders import Permanent, Temporary, put_whole
from authsvc.http.outbound import Call, Unreachable, call
from authsvc.world import World

TIMEOUT_SECONDS = 10.0
RETRIED = frozenset({408, 425, 429})  # and all of 5xx
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Text:
    """One SMS."""

    id: str
    sender: str
    recipient: str
    body: str
    at: int


class SmsSender(Protocol):
    """A way out. `send` raises Temporary or Permanent."""

    def send(self, text: Text) -> None: ...


def sms_sender(settings: Settings, world: World) -> SmsSender:
    """The way out that AUTHSVC_SMS names."""
    target = settings.sms
    match target.scheme:
        case "twilio":
            return Twilio(target.url, target.user or "", target.password or "", world)
        case "gateway":
            return Gateway(settings, world)
        case "file":
            return Folder(target.folder)
        case "console":
            return Console(world)
    return Nowhere()


class Twilio:
    """Twilio's Messages resource (API of 2010-04-01)."""

    def __init__(self, url: str, sid: str, token: str, world: World) -> None:
        self._url = url
        self._headers = {"Authorization": _basic(sid, token), "Content-Type": FORM}
        self._world = world

    def send(self, text: Text) -> None:
        whose = "MessagingServiceSid" if _SERVICE.fullmatch(text.sender) else "From"
        _post(self._world, self._url, urlencode({"To": text.recipient, whose: text.sender, "Body": text.body}), self._headers, text)


class Gateway:
    """Any gateway that takes a POST, described wholly by the settings."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._template = settings.sms_body
        self._as_json = self._template.startswith("{")
        ours = {"content-type": JSON if self._as_json else FORM}
        if settings.sms.user:
            ours["authorization"] = _basic(settings.sms.user, settings.sms.password or "")
        self._headers = ours | {name.lower(): value for name, value in settings.sms_headers}  # names have no case
        self._url = settings.sms.url
        self._world = world

    def send(self, text: Text) -> None:
        values = {"to": text.recipient, "text": text.body, "from": text.sender}
        _post(
            self._world,
            self._url,
            re.sub(r"\{(to|text|from)\}", lambda match: self._escaped(values[match[1]]), self._template),
            self._headers,
            text,
        )

    def _escaped(self, value: str) -> str:
        """As it stands within a JSON text, or in a form."""
        return json.dumps(value)[1:-1] if self._as_json else quote(value, safe="")


class Folder:
    """One `.json` an SMS, written whole and then renamed into place."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def send(self, text: Text) -> None:
        content = {"to": text.recipient, "from": text.sender, "body": text.body, "at": text.at}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Temporary(str(error)) from error
        put_whole(self._folder / f"{text.id}.json", json.dumps(content).encode())


class Console:
    """Onto the log: for a workbench."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, text: Text) -> None:
        self._world.log(f"--- SMS to {text.recipient}\n{text.body}\n---")


class Nowhere:
    """SMS is off; what still lies in the outbox is given up."""

    def send(self, text: Text) -> None:
        raise Permanent(f"SMS is off; {text.id} is not sent")


def _post(world: World, url: str, body: str, headers: Mapping[str, str], text: Text) -> None:
    """One POST. 429 and 5xx may pass, other refusals are final."""
    try:
        answered = call(world, Call("POST", url, headers, body.encode(), seconds=TIMEOUT_SECONDS, whole=False))
    except Unreachable as error:
        raise Temporary(str(error)) from error
    if not answered.ok:
        told = f"{answered.status} {_gist(answered.body, _hidden(text, headers))}"
        raise Temporary(told) if answered.status in RETRIED or answered.status >= 500 else Permanent(told)


def _hidden(text: Text, headers: Mapping[str, str]) -> set[str]:
    """What an answer may repeat of a request and nobody may read: the code, the number, credentials."""
    words = {word for value in headers.values() for word in value.split() if len(word) >= 8 and value not in (FORM, JSON)}
    return words | set(re.findall(r"[0-9]{6,}", text.body)) | {text.recipient.removeprefix("+")}


def _gist(said: bytes, hidden: set[str]) -> str:
    """The beginning of an answer as one line."""
    told = said.decode("utf-8", "replace")
    for secret in sorted(hidden, key=len, reverse=True):
        told = told.replace(secret, "***")
    return " ".join(told[:200].split())


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
