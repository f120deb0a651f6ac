"""What a verified token says, and the ways in which one does not pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from authsvc.primitives.caps import holds


class Refusal(Exception):
    """Why a request does not pass, and what to answer."""

    status = 500
    code = ""

    @property
    def headers(self) -> dict[str, str]:
        """What stands beside the status."""
        return {}

    @property
    def problem(self) -> dict[str, Any]:
        """What authsvc itself would answer (RFC 9457)."""
        return {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": str(self), "code": self.code}


class InvalidToken(Refusal):
    """No token, or one that is not good (RFC 6750 section 3). `code`: `unauthenticated`, `invalid_token` or `token_expired`."""

    status = 401

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer" if self.code == "unauthenticated" else 'Bearer error="invalid_token"'}


class Insufficient(Refusal):
    """A good token whose holder may not do this."""

    status = 403
    code = "forbidden"

    def __init__(self, cap: str) -> None:
        super().__init__(f"This needs the cap {cap}.")
        self.cap = cap

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.cap}"'}


class Unverifiable(Refusal):
    """There are no keys to verify by, since the service that has them cannot be reached. The token may be good."""

    status = 503
    code = "unavailable"

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class Claims(Mapping[str, Any]):
    """The claims of a token that was verified (RFC 9068), and what is asked of them most."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def subject(self) -> str:
        """The id of the user."""
        return str(self._values["sub"])

    @property
    def roles(self) -> Sequence[str]:
        return tuple(self._values.get("roles", ()))

    @property
    def caps(self) -> Sequence[str]:
        return tuple(self._values.get("caps", ()))

    def has(self, cap: str) -> bool:
        """Whether the holder has this cap; `resource:*` and `*` cover it too."""
        return holds(self.caps, cap)

    def demand(self, cap: str) -> None:
        """Raise Insufficient where the holder has not."""
        if not self.has(cap):
            raise Insufficient(cap)
