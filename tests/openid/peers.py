"""Providers that misbehave, over TCP: a fake one whose every answer a test may change, and a go-between that tampers with a real one's."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT = "authsvc"
SECRET = "a-secret-that-the-provider-gave-us"
PATIENCE_SECONDS = 30.0
WELL_KNOWN = "/.well-known/openid-configuration"
ADA = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"}


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode("ascii"), keep_blank_values=True).items()}


Behaviour = Callable[["Handler", Asked], None]
Change = Callable[[dict[str, Any]], dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    """One connection, for one request."""

    protocol_version = "HTTP/1.1"
    server: Peer

    def do_GET(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, dict(self.headers.items()), body)
        self.server.note(asked)(self, asked)

    def do_POST(self) -> None:
        self.do_GET()

    def say(self, value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.say_bytes(json.dumps(value).encode(), status, (("Content-Type", "application/json"), *headers))

    def say_bytes(self, body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def say_raw(self, said: bytes) -> None:
        with suppress(OSError):
            self.connection.sendall(said)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


class Peer(ThreadingHTTPServer):
    """A server whose paths do as they are told; `released` lets go of those that hang."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.behaviours: dict[str, Behaviour] = {}
        self.released = threading.Event()
        self.asked: list[Asked] = []
        self._changed = threading.Condition()

    def note(self, asked: Asked) -> Behaviour:
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
        return self.behaviours.get(urlsplit(asked.path).path, missing)

    def at(self, path: str) -> list[Asked]:
        """What came to this path so far."""
        with self._changed:
            return [asked for asked in self.asked if urlsplit(asked.path).path == path]

    def wait_for(self, path: str, count: int) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: len([one for one in self.asked if one.path == path]) >= count, PATIENCE_SECONDS)
            assert came, self.asked

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that hung up is part of the tests
            super().handle_error(request, client_address)


class Fake(Peer):
    """An OpenID provider that signs by ES256, and gives a code to whoever goes to it. What it tells is `claims`."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        super().__init__()
        self.claims: dict[str, Any] = dict(ADA)
        self.metadata: dict[str, Any] = {}
        self.told_by_userinfo: dict[str, Any] | None = None
        self.checks_pkce = True
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: list[str] = []
        self.holders: dict[str, dict[str, Any]] = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.behaviours = {WELL_KNOWN: self._discovery, "/token": self._token, "/jwks": self._jwks, "/userinfo": self._userinfo}

    def settings(self, name: str = "corp", **more: Any) -> dict[str, Any]:
        """As an OpenID provider by its issuer."""
        stem = f"oauth_{name}_"
        return {f"{stem}client_id": CLIENT, f"{stem}client_secret": SECRET, f"{stem}issuer": self.url, **more}

    def plain(self, name: str = "corp", **more: Any) -> dict[str, Any]:
        """As one that speaks OAuth 2.0 only."""
        stem = f"oauth_{name}_"
        urls = {"authorize_url": "/authorize", "token_url": "/token", "userinfo_url": "/userinfo"}
        return {
            f"{stem}client_id": CLIENT,
            f"{stem}client_secret": SECRET,
            f"{stem}fields": "subject=sub,email=email,email_verified=email_verified",
            **{f"{stem}{part}": self.url + path for part, path in urls.items()},
            **more,
        }

    def code(self, authorize_url: str, **claims: Any) -> str:
        """A code for whoever goes to that URL."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "claims": {**self.claims, **claims}}
        return code

    def callback(self, authorize_url: str, code: str | None = None, **claims: Any) -> str:
        """Where a browser is sent that went to that URL, as a path of ours."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        query = urlencode({"code": code or self.code(authorize_url, **claims), "state": asked["state"], "iss": self.url})
        return f"{urlsplit(asked['redirect_uri']).path}?{query}"

    def _discovery(self, handler: Handler, _: Asked) -> None:
        endpoints = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "jwks_uri": "/jwks",
        }
        document = {"issuer": self.url, **{name: self.url + path for name, path in endpoints.items()}}
        handler.say({**document, "token_endpoint_auth_methods_supported": ["client_secret_post"], **self.metadata})

    def _token(self, handler: Handler, asked: Asked) -> None:
        form = asked.form()
        known = self.codes.pop(form.get("code", ""), None)
        wanted = (known or {}).get("code_challenge")
        if known is None or (self.checks_pkce and wanted is not None and s256(form.get("code_verifier", "")) != wanted):
            handler.say({"error": "invalid_grant"}, 400)
            return
        access_token = secrets.token_urlsafe(24)
        self.tokens.append(access_token)
        self.holders[f"Bearer {access_token}"] = known["claims"]
        handler.say({"access_token": access_token, "token_type": "Bearer", "expires_in": 3600, "id_token": self._id_token(known)})

    def _id_token(self, known: dict[str, Any]) -> str:
        import jwt

        now = int(time.time())
        standard = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 3600, "nonce": known.get("nonce")}
        claims = {name: value for name, value in {**standard, **known["claims"]}.items() if value is not None}
        token = jwt.encode(claims, self._key, "ES256", {"kid": "fake"})
        self.tokens.append(token)
        return token

    def _jwks(self, handler: Handler, _: Asked) -> None:
        numbers = self._key.public_key().public_numbers()
        x, y = (encoded(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        handler.say({"keys": [{"kty": "EC", "crv": "P-256", "kid": "fake", "x": x, "y": y}]})

    def _userinfo(self, handler: Handler, asked: Asked) -> None:
        claims = self.holders.get(asked.headers.get("Authorization", ""), self.claims)
        handler.say(claims if self.told_by_userinfo is None else self.told_by_userinfo)


@contextmanager
def fake_provider() -> Iterator[Fake]:
    with served(Fake()) as fake:
        yield fake


@contextmanager
def go_between(origin: str, change: Change) -> Iterator[Peer]:
    """Whatever is asked of it is asked of that server, whose JSON it changes."""

    def forward(handler: Handler, asked: Asked) -> None:
        connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=PATIENCE_SECONDS)
        kept = {name: value for name, value in asked.headers.items() if name in ("Authorization", "Content-Type", "Accept")}
        connection.request(asked.method, asked.path, asked.body or None, kept)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        connection.close()
        handler.say(change(json.loads(body)), status)

    peer = Peer()
    peer.behaviours = {"/token": forward, "/me": forward}
    with served(peer):
        yield peer


@contextmanager
def served(peer: Peer) -> Iterator[Any]:
    thread = threading.Thread(target=peer.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield peer
    finally:
        peer.released.set()
        peer.shutdown()
        peer.server_close()
        thread.join(PATIENCE_SECONDS)


def missing(handler: Handler, _: Asked) -> None:
    handler.say({"error": "not_found"}, 404)


def hangs(handler: Handler, _: Asked) -> None:
    """Takes the request and says nothing until the test ends."""
    handler.server.released.wait(PATIENCE_SECONDS)


def trickles(handler: Handler, _: Asked) -> None:
    """Begins a JSON answer and goes on with a blank now and then, for ever."""
    handler.say_raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    with suppress(OSError):
        while not handler.server.released.wait(0.02):
            handler.connection.sendall(b" ")


def endless(handler: Handler, _: Asked) -> None:
    """More than anybody wants."""
    handler.say_raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    with suppress(OSError):
        while not handler.server.released.is_set():
            handler.connection.sendall(b"1," * 32_768)


def says(value: Any, status: int = 200, *headers: tuple[str, str]) -> Behaviour:
    return lambda handler, _: handler.say(value, status, headers)


def says_bytes(body: bytes, status: int = 200, *headers: tuple[str, str]) -> Behaviour:
    return lambda handler, _: handler.say_bytes(body, status, headers)


def says_raw(said: bytes) -> Behaviour:
    return lambda handler, _: handler.say_raw(said)


def s256(verifier: str) -> str:
    return encoded(hashlib.sha256(verifier.encode()).digest())


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
