"""Cookies (RFC 6265bis): one writer, one reader, and the names that browsers protect by their prefix."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie that we set. `path` "" stands for "/"."""

    name: str
    path: str
    same_site: str
    secure: bool
    domain: str = ""

    def set(self, value: str, max_age: int) -> tuple[str, str]:
        """The header that stores it for so many seconds."""
        return ("Set-Cookie", f"{self.name}={value}; Max-Age={max_age}; {self._attributes()}")

    def clear(self) -> tuple[str, str]:
        """The header that removes it: the same name, path and domain, no time left."""
        return ("Set-Cookie", f"{self.name}=; Max-Age=0; {self._attributes()}")

    def _attributes(self) -> str:
        domain = f"; Domain={self.domain}" if self.domain else ""
        secure = "; Secure" if self.secure else ""
        return f"Path={self.path or '/'}{domain}; HttpOnly; SameSite={self.same_site}{secure}"


def access_cookie(*, secure: bool, domain: str) -> Cookie:
    """The cookie that holds the access token, for every path of the host (and, with a domain, of its siblings)."""
    prefix = ("__Secure-" if domain else "__Host-") if secure else ""
    return Cookie(prefix + "authsvc_access", "/", "Lax", secure, domain)


def refresh_cookie(*, secure: bool, mount: str) -> Cookie:
    """The cookie that holds the refresh token; browsers send it to the token endpoints only."""
    return Cookie(("__Secure-" if secure else "") + "authsvc_refresh", f"{mount}/token", "Strict", secure)


def find(header: str, name: str) -> list[str]:
    """All values that a Cookie header gives to one name."""
    found = []
    for pair in header.split(";"):
        key, equals, value = pair.strip().partition("=")
        if equals and key == name:
            found.append(value)
    return found
