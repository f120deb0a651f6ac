"""A client without wsgiref.validate, for requests that no correct host would hand over."""

from __future__ import annotations

from typing import Any

from tests.support import Answer, Client


class Bare(Client):
    """Calls the app as it is. What the app answers is still checked: one call of start_response, plain headers, whole bytes."""

    def _run(self, env: dict[str, Any]) -> Answer:
        seen: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            assert exc_info is None
            seen.append((status, headers))

        content = b"".join(self.app(env, start_response))
        ((status, headers),) = seen
        assert all(set(text).isdisjoint("\r\n\0") and text.isascii() for pair in headers for text in pair), headers
        return Answer(int(status[:3]), headers, content)
