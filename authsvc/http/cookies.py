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


@dataclass(frozen=True, slots=True)
class Cookies:
    """All that we set: the access token, the refresh token, which links this browser asked for, that it is known, and
    that it went to an OAuth provider."""

    access: Cookie
    refresh: Cookie
    magic: Cookie
    device: Cookie
    oauth: Cookie


def cookies(*, secure: bool, domain: str, mount: str) -> Cookies:
    """The cookies of a service below `mount`. The access token goes to every path of the host (and, with a domain, of its
    siblings); the others only where they are needed."""
    ours = "__Secure-" if secure else ""
    everywhere = ("__Secure-" if domain else "__Host-") if secure else ""
    return Cookies(
        access=Cookie(everywhere + "authsvc_access", "/", "Lax", secure, domain),
        refresh=Cookie(ours + "authsvc_refresh", f"{mount}/token", "Strict", secure),
        magic=Cookie(ours + "authsvc_magic", f"{mount}/login/magic", "Lax", secure),  # a click in a mail comes from elsewhere
        device=Cookie(ours + "authsvc_device", f"{mount}/login", "Lax", secure),
        # No sibling domain may plant it, or it could have a victim finish the sibling's own sign-in.
        oauth=Cookie(("__Host-" if secure else "") + "authsvc_oauth", "/", "Lax", secure),
    )


def find(header: str, name: str) -> list[str]:
    """All values that a Cookie header gives to one name."""
    found = []
    for pair in header.split(";"):
        key, equals, value = pair.strip().partition("=")
        if equals and key == name:
            found.append(value)
    return found
