"""The files of the pages: templates and assets, bundled or from a folder of one's own, and how a page is put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from string import Template

from authsvc.flows.core import Core
from authsvc.http import html
from authsvc.http.html import EMPTY, Safe
from authsvc.http.response import Headers, Response
from authsvc.problems import Refused

HTML = "text/html; charset=utf-8"
Policy = Mapping[str, str]
ASSET_SECONDS = 3_600
ASSET_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
}
BUNDLED_TYPES = ASSET_TYPES | {".js": "text/javascript; charset=utf-8"}  # an own folder brings no scripts


class Site:
    """Everything that pages are made of. `own` is the folder whose files come before the bundled ones; empty: none."""

    def __init__(self, own: str) -> None:
        folder = Path(own) if own else None
        if folder and not folder.is_dir():
            raise Refused(f"AUTHSVC_PAGES: there is no folder {folder}")
        self._templates = {name: Template(content.decode()) for name, content in _bundled("html").items()}
        self.assets = _bundled("assets")
        if folder:
            self._take_own(folder)
        self._versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self.assets.items()}

    def piece(self, template: str, /, **values: object) -> Safe:
        """One template filled, to be put into another."""
        return html.fill(self._templates[f"{template}.html"], **values)

    def page(self, core: Core, title: str, content: Safe, *, message: Safe = EMPTY, width: str = "", head: Safe = EMPTY) -> Safe:
        """A whole document."""
        base, service = core.settings.public_url.path, core.settings.name
        values = {"base": base, "service": service, "title": title, "version": self.version("style.css"), "width": width}
        return self.piece("layout", **values, head=head, message=message, content=content)

    def version(self, name: str) -> str:
        """What changes with the content of an asset, for its address."""
        return self._versions[name]

    def _take_own(self, folder: Path) -> None:
        """Own files replace bundled ones; a template that asks for what its page does not have stops the start."""
        faults = []
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder))):
            if file.suffix in ASSET_TYPES:
                self.assets[file.name] = file.read_bytes()
            elif file.name not in self._templates:
                faults.append(f"{file.name}: no page has this template, and it is no asset ({', '.join(ASSET_TYPES)})")
            else:
                faults += self._take_template(file)
        if faults:
            raise Refused("AUTHSVC_PAGES: some files are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))

    def _take_template(self, file: Path) -> list[str]:
        try:
            template = Template(file.read_text("utf-8"))
        except (OSError, UnicodeError) as error:
            return [f"{file.name}: {error}"]
        unknown = sorted(set(template.get_identifiers()) - set(self._templates[file.name].get_identifiers()))
        faults = [f"{file.name}: this page has no ${name}" for name in unknown]
        self._templates[file.name] = template
        return faults + ([] if template.is_valid() else [f"{file.name}: a $ that is no placeholder; write $$"])


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@lru_cache(maxsize=8)
def site(own: str) -> Site:
    """The files as they were when first asked for."""
    return Site(own)


def respond(core: Core, document: Safe, status: int = 200, headers: Headers | None = None, policy: Policy | None = None) -> Response:
    """A document as an answer, with the policy that lets a browser do nothing but show it and send its forms. `policy`: what
    the page needs beside that, by directive."""
    security = _security(core.settings.app_origins, tuple((policy or {}).items()))
    return Response(status, document.encode("utf-8", "replace"), HTML, headers or [], security=security)


def asset(core: Core, name: str) -> Response | None:
    """A file of the pages; None when there is none of this name."""
    content = site(core.settings.pages).assets.get(name)
    if content is None:
        return None
    return Response(200, content, BUNDLED_TYPES[Path(name).suffix], security=list(_ASSET_SECURITY))


_ASSET_SECURITY: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", f"public, max-age={ASSET_SECONDS}"),
    ("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
    ("Vary", "Origin"),
]


@lru_cache(maxsize=64)
def _security(app_origins: tuple[str, ...], more: tuple[tuple[str, str], ...]) -> Headers:
    """Forms go to ourselves; Chromium also checks where the answer sends the browser, so the apps are listed."""
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "form-action": " ".join(("'self'", *app_origins)),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    for directive, sources in more:
        policy[directive] = f"{policy[directive]} {sources}" if directive in policy else sources
    return [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),  # pages relax it for their own forms: a browser would send `Origin: null`
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items())),
        ("Vary", "Accept, Origin"),
    ]


def _bundled(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files("authsvc.pages").joinpath(folder).iterdir() if file.is_file()}
