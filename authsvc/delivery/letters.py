"""The letters: files `<locale>/<name>.txt` and `.html`, bundled or from a folder of one's own, and the words that fill them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from authsvc.http.html import Safe, fill
from authsvc.problems import Refused

LAST_LOCALE = "en"
LAYOUT = "layout.html"
SUBJECT = "Subject: "

# What each letter may speak of, beside the service and the address it goes to. The values are for previews and checks.
_LINK = {"link": "https://auth.example.com/email/verify/0123456789.abcdefghijkl"}
_CODE = _LINK | {"code": "123456"}
_SEEN = {"when": "2026-01-31 12:30 UTC", "device": "Firefox on Linux", "ip": "192.0.2.1"}
_FORGOT = {"forgot_url": "https://auth.example.com/password/forgot"}
LETTERS: Mapping[str, dict[str, str]] = {
    "verify": _CODE | {"hours": "24"},
    "magic": _CODE | {"minutes": "10"},
    "login_trouble": _CODE | {"minutes": "10"},
    "reset": _LINK | {"minutes": "30"},
    "set_password": _LINK | {"hours": "24"},
    "account_made": _LINK | {"days": "7"},
    "invitation": _LINK | {"days": "7"},
    "goodbye": {"when": _SEEN["when"]},
    "email_replaced": {"new_address": "j•••@e•••.com", "when": _SEEN["when"]},
    "welcome": {"account_url": "https://auth.example.com/account"},
    "already_registered": _FORGOT | {"login_url": "https://auth.example.com/login"},
    "email_change": _CODE | {"hours": "24"},
    "email_changed": _LINK | {"days": "7", "new_address": "j•••@e•••.com", "when": _SEEN["when"]},
    "password_changed": _SEEN | _FORGOT,
    "new_device": _SEEN | _FORGOT,
    "account_reclaimed": {"when": _SEEN["when"]} | _FORGOT,
    "code": {"code": "123456", "minutes": "10"},
    "factor_added": _SEEN | _FORGOT | {"factor": "Authenticator app"},
    "factor_removed": _SEEN | _FORGOT | {"factor": "Authenticator app"},
    "identity_linked": _SEEN | _FORGOT | {"provider": "Google"},
    "identity_unlinked": _SEEN | _FORGOT | {"provider": "Google"},
    "webhook_disabled": {"when": _SEEN["when"], "url": "hooks.example.com", "error": "answered 500"},
    "recovery_used": _SEEN | _FORGOT | {"left": "9"},
    "test": {"when": _SEEN["when"]},
}
SMS = "sms.txt"
SMS_WORDS = {"service": "authsvc", "code": "123456", "minutes": "5", "host": "auth.example.com"}
COMMON = {"service": "authsvc", "address": "jane@example.com"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter ready to be put into an envelope."""

    subject: str
    text: str
    html: str
    locale: str


class Letters:
    """All letters of a service. `own` is the folder whose files come before the bundled ones; empty: none."""

    def __init__(self, own: str) -> None:
        self._own = Path(own) if own else None
        if self._own is not None:
            self._check_own(self._own)

    def render(self, name: str, locale: str | None, words: Mapping[str, str]) -> Letter:
        """The letter in the nearest language to this one. `words` are its placeholders."""
        for language in fallbacks(locale):
            plain, rich = self._read(language, f"{name}.txt"), self._read(language, f"{name}.html")
            if plain is not None and rich is not None:
                return self._filled(plain, rich, language, words)
        raise LookupError(name)

    def render_text(self, name: str, locale: str | None, words: Mapping[str, str]) -> str:
        """A text without more: `<locale>/<name>.txt`, in the nearest language."""
        texts = (self._read(language, f"{name}.txt") for language in fallbacks(locale))
        return Template(next(text for text in texts if text is not None).strip()).substitute(words)

    @cached_property
    def _layout(self) -> Template:
        own = self._own / LAYOUT if self._own else None
        text = own.read_text("utf-8") if own and own.is_file() else _bundled(LAYOUT)
        return Template(text or "$content")

    def _filled(self, plain: str, rich: str, language: str, words: Mapping[str, str]) -> Letter:
        first, _, body = plain.partition("\n")
        if not first.startswith(SUBJECT):
            raise ValueError("the first line of a letter is its subject, `Subject: …`")
        subject = " ".join(Template(first.removeprefix(SUBJECT)).substitute(words).split())
        content = fill(Template(rich), **words)
        html = fill(self._layout, lang=language, subject=subject, service=words["service"], content=content)
        return Letter(subject, Template(body.lstrip("\n")).substitute(words), html, language)

    def _read(self, language: str, name: str) -> str | None:
        own = self._own / language / name if self._own else None
        return own.read_text("utf-8") if own and own.is_file() else _bundled(f"{language}/{name}")

    def _check_own(self, folder: Path) -> None:
        """A fault in an own letter stops the start; it would otherwise be found by whoever waits for a mail."""
        if not folder.is_dir():
            raise Refused(f"AUTHSVC_LETTERS: there is no folder {folder}")
        faults = [f"{file.relative_to(folder)}: {fault}" for file in _own_files(folder) if (fault := self._fault(file, folder))]
        if faults:
            raise Refused("AUTHSVC_LETTERS: some letters are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))

    def _fault(self, file: Path, folder: Path) -> str | None:
        name, language = file.stem, file.parent.name
        try:
            if file == folder / LAYOUT:
                fill(Template(file.read_text("utf-8")), lang="en", subject="", service="", content=Safe(""))
            elif file.name == SMS and file.parent.parent == folder:
                if SMS_WORDS["code"] not in self.render_text("sms", language, SMS_WORDS):
                    return "an SMS without $code is of no use"
            elif name not in LETTERS or file.parent.parent != folder:
                return f"no letter has this name; there are {', '.join(LETTERS)}, in a folder named for the language"
            elif self._read(language, f"{name}.txt") is None or self._read(language, f"{name}.html") is None:
                return "a letter needs both a .txt and a .html"
            else:
                self.render(name, language, COMMON | LETTERS[name])
        except KeyError as error:
            return f"this letter has no ${error.args[0]}"
        except (OSError, ValueError) as error:
            return str(error)
        return None


def fallbacks(locale: str | None) -> list[str]:
    """`pt-BR`, `pt`, `en`: from the wanted language to the one that is always there."""
    parts = [_canonical(part, not place) for place, part in enumerate((locale or LAST_LOCALE).lower().split("-"))]
    wanted = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return [*wanted, LAST_LOCALE]


def _canonical(subtag: str, first: bool) -> str:
    """As RFC 5646 section 2.1.1 writes it: `pt-BR`, `zh-Hant`."""
    if first or len(subtag) not in (2, 4):
        return subtag
    return subtag.upper() if len(subtag) == 2 else subtag.title()


def words_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Placeholders as text. A line break, wherever it came from, is a space: none gets into a header or starts a line."""
    return {name: " ".join(str(value).splitlines()) for name, value in values.items()}


def _own_files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.suffix in (".txt", ".html"))


def _bundled(name: str) -> str | None:
    file = files("authsvc.delivery").joinpath("letters", *name.split("/"))
    return file.read_text("utf-8") if file.is_file() else None
