"""A small program of somebody else's, with an API key and nothing but HTTP, against a real `authsvc serve`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook as Verifier

from tests.hooks import Got, receiving, says
from tests.wire.servers import ROOT, Server, serving

PASSWORD = "violet-harbour-91"
SETTINGS = {"AUTHSVC_WEBHOOK_NETWORKS": "127.0.0.0/8", "AUTHSVC_DELIVERY": "threads", "AUTHSVC_LIMIT_REGISTER": "0"}


@dataclass
class Consumer:
    """Keeps a copy of the accounts: told by webhooks, and by asking when it was away. Knows each event once."""

    server: Server
    key: str
    webhook_id: str = ""
    secret: str = ""
    accounts: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = self.server.call(method, path, body, token=self.key)
        assert answer.status == status, answer.body
        return answer.json()

    def subscribe(self, url: str) -> None:
        made = self.ask("POST", "/webhooks", {"url": url, "events": ["user.created"]}, status=201)
        self.webhook_id, self.secret = made["id"], made["secret"]

    def provision(self, *names: str) -> list[str]:
        return [self.ask("POST", "/user", {"email": f"{name}@example.com"}, status=201)["id"] for name in names]

    def take(self, got: Got) -> None:
        """A webhook that came: verified by the published library, over the bytes as they came."""
        self._learn(got.id, Verifier(self.secret).verify(got.body, got.headers))

    def catch_up(self) -> None:
        """All that happened since the last event that it knows, page by page."""
        after = self.seen[-1]
        while True:
            page = self.ask("GET", f"/events?types=user.created&limit=2&after={after}")
            for event in page["items"]:
                self._learn(event["id"], event)
            if page["next_cursor"] == after:
                return
            after = page["next_cursor"]

    def _learn(self, event_id: str, event: dict[str, Any]) -> None:
        if event_id in self.seen:
            self.again.append(event_id)
            return
        self.seen.append(event_id)
        self.accounts.append(event["data"]["subject"])


def key_of_an_admin(server: Server, folder: Path) -> str:
    """Who runs the service makes an admin on the command line; the admin makes the key over HTTP."""
    account = {"email": "admin@example.com", "password": PASSWORD}
    assert server.call("POST", "/register", account).status == 201
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    command = [sys.executable, "-m", "authsvc", "user", "grant", "admin@example.com", "admin"]
    environment = {**kept, "AUTHSVC_DATABASE": str(folder / "authsvc.db"), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    token = server.call("POST", "/login", account)["access_token"]
    made = server.call("POST", "/keys", {"name": "copy", "caps": ["users:write", "webhooks:write", "events:read"]}, token=token)
    assert made.status == 201, made.body
    key: str = made["key"]
    return key


def test_a_service_with_a_key_provisions_listens_is_away_and_misses_nothing(tmp_path: Path) -> None:
    """What happened while nobody listened is found by GET /events, in order and complete, and comes by the webhook too once it
    listens again on the same port: under the same ids, so that it learns nothing twice."""
    with serving(tmp_path, **SETTINGS) as server:
        consumer = Consumer(server, key_of_an_admin(server, tmp_path))
        with receiving() as receiver:
            port = receiver.port
            consumer.subscribe(receiver.url("/in"))
            made = consumer.provision("a", "b", "c")
            for got in receiver.wait_for(3):
                consumer.take(got)
            assert (consumer.accounts, consumer.again) == (made, [])
            receiver.behaviour = says(503)
            made += consumer.provision("d")
            receiver.wait_for(4)
        made += consumer.provision("e", "f")

        consumer.catch_up()
        assert (consumer.accounts, consumer.again) == (made, [])

        with receiving(port=port) as receiver:
            consumer.ask("PUT", f"/webhooks/{consumer.webhook_id}", {"enabled": True})
            made += consumer.provision("g")
            for got in receiver.wait_for(4):
                consumer.take(got)
            assert consumer.again == consumer.seen[3:6]
            assert consumer.accounts == made
        consumer.catch_up()
        assert (len(consumer.again), consumer.accounts) == (3, made)
        assert "example.com" not in "".join(got.body.decode() for got in receiver.got)
