"""What a client does to sign in by a provider: begin here, sign in there, come back."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.openid.provider import sign_in
from tests.support import Answer, Client

JSON_ONLY = {"Accept": "application/json"}
HTML = {"Accept": "text/html"}


def browser(app: Any, ip: str = "192.0.2.1") -> Client:
    return Client(app, ip=ip, keep_cookies=True)


def begin(client: Client, name: str = "corp", query: str = "") -> str:
    """Where to sign in over there."""
    answer = client.get(f"/oauth/{name}{query}", headers=JSON_ONLY)
    assert answer.status == 200, answer.body
    return str(answer["authorize_url"])


def begin_link(client: Client, token: str, name: str = "corp", **more: Any) -> str:
    answer = client.post("/oauth/link", {"provider": name, **more}, token=token)
    assert answer.status == 200, answer.body
    return str(answer["authorize_url"])


def back(url: str) -> str:
    """The callback as a path of ours."""
    parts = urlsplit(url)
    assert parts.path.startswith("/oauth/"), url
    return f"{parts.path}?{parts.query}"


def enter(client: Client, login: str, name: str = "corp", query: str = "", headers: dict[str, str] = JSON_ONLY, **more: Any) -> Answer:
    """The whole way; the answer of the callback."""
    return client.get(back(sign_in(begin(client, name, query), login)), headers=headers, **more)


def link(client: Client, token: str, login: str, name: str = "corp", **more: Any) -> Answer:
    return client.get(back(sign_in(begin_link(client, token, name, **more), login)), headers=JSON_ONLY)


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
