"""Which tokens stopped counting before they ran out, from the events that authsvc offers to whoever asks (GET /events)."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from authsvc.http.outbound import Call, Unreachable, call
from authsvc.world import WARNING, World

SESSION_ENDED = ("session.revoked", "session.reuse_detected")
# After these, older tokens of the account do not count. The new ones that its owner gets do.
ACCOUNT_CHANGED = (
    "user.disabled", "user.deleted", "role.changed", "password.changed", "password.reset", "email.changed", "account.reclaimed",
)  # fmt: skip
ROLE_CHANGED = ("role.updated", "role.deleted")  # whose holders are not named: older tokens of everybody
KEPT_SECONDS = 86_400 + 120  # no access token lives longer (AUTHSVC_ACCESS_SECONDS), with the leeway
PAGE = 200
MOST_PAGES = 10_000


class Revocations:
    """What happened to sessions and accounts in the last day. `poll` asks for what is new; `watch` does so for ever.

    `url`: the public URL of authsvc. `api_key`: one with the cap `events:read`. While authsvc cannot be reached, tokens count
    until they run out.
    """

    def __init__(self, url: str, api_key: str, *, world: World | None = None) -> None:
        self._url = f"{url.rstrip('/')}/events"
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._world = world or World()
        self._cursor: str | None = None
        self._sessions: dict[str, int] = {}  # when each ended (seconds)
        self._accounts: dict[str, int] = {}  # since when tokens count
        self._everybody = 0
        self._stopped = threading.Event()

    def has(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token with these claims stopped counting."""
        since = max(self._everybody, self._accounts.get(claims["sub"], 0))
        return claims["sid"] in self._sessions or claims["iat"] < since

    def poll(self) -> int:
        """Ask for what is new; how many events that was. Raises OSError where nobody answers as expected."""
        seen = 0
        for _ in range(MOST_PAGES):
            items, cursor = self._page()
            for item in items:
                self._note(item)
            seen += len(items)
            if cursor == self._cursor:
                break
            self._cursor = cursor
        self._forget()
        return seen

    def watch(self, seconds: float = 5.0) -> threading.Thread:
        """Poll every so often in a thread of its own, which ends with the process or after `stop`."""
        thread = threading.Thread(target=self._watch, args=(seconds,), name="authsvc-revocations", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self, seconds: float) -> None:
        while not self._stopped.is_set():
            try:
                self.poll()
            except OSError as error:
                self._world.log(f"warning: no events from {self._url}: {error}", WARNING)
            self._stopped.wait(seconds)

    def _page(self) -> tuple[list[Any], str]:
        query = {"types": ",".join((*SESSION_ENDED, *ACCOUNT_CHANGED, *ROLE_CHANGED)), "limit": str(PAGE)}
        query |= {"after": self._cursor} if self._cursor else {}
        try:
            answered = call(self._world, Call("GET", f"{self._url}?{urlencode(query)}", self._headers, most_bytes=1_048_576))
        except Unreachable as error:
            raise OSError(str(error)) from None
        if answered.status != 200:
            raise OSError(f"status {answered.status}")
        try:
            page = json.loads(answered.body)
            return list(page["items"]), str(page["next_cursor"])
        except (ValueError, KeyError, TypeError):
            raise OSError("an answer that is no page of events") from None

    def _note(self, item: Mapping[str, Any]) -> None:
        data, kind = item["data"], item["type"]
        at = int(datetime.fromisoformat(item["timestamp"]).timestamp())
        if kind in SESSION_ENDED:
            ended = (data.get("details") or {}).get("session_id") or data.get("session_id")
            if ended:
                self._sessions[ended] = at
        elif kind in ACCOUNT_CHANGED:
            self._accounts[data["subject"]] = max(at, self._accounts.get(data["subject"], 0))
        elif kind in ROLE_CHANGED:
            self._everybody = max(at, self._everybody)

    def _forget(self) -> None:
        before = self._world.now() // 1000 - KEPT_SECONDS
        self._sessions = {session: at for session, at in self._sessions.items() if at >= before}
        self._accounts = {account: at for account, at in self._accounts.items() if at >= before}
