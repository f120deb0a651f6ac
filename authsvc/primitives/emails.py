"""E-mail addresses: what is accepted, and the one folded key by which an address is found again."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from authsvc.problems import Invalid

MAX_LOCAL_BYTES = 64  # RFC 5321 section 4.5.3.1.1
MAX_DOMAIN_BYTES = 253  # RFC 1035 section 2.3.4, less the length octets
MAX_BYTES = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets

_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+")  # RFC 5322 atext and RFC 6532
_ENCODED_WORD = re.compile(r"=\?.*\?.*\?")  # RFC 2047: a mail library would decode it, line breaks and all
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# IDNA 2003 and 2008 read these differently (RFC 5895, UTS 46 "deviation" characters): sharp s, final sigma, joiners.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")
# Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point, less those of category Cf and Cn).
_INVISIBLE = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


class Email(NamedTuple):
    """An address as it was written, and the key that all its harmless spellings share."""

    address: str
    key: str


def parse(text: str) -> Email:
    """An address that mail can be sent to. Raises Invalid.

    Quoted local parts, comments, address literals and look-alike characters are refused rather than interpreted.
    """
    if len(text) > MAX_BYTES:
        raise Invalid("too_long", f"An e-mail address has at most {MAX_BYTES} bytes.")
    address = unicodedata.normalize("NFC", text.strip(" "))
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or _ENCODED_WORD.search(local):
        raise Invalid("invalid", "This is not an e-mail address.")
    _refuse_lookalikes(address)
    key = f"{_fold_local(local)}@{_fold_domain(domain)}"
    if len(address.encode()) > MAX_BYTES or len(key.encode()) > MAX_BYTES:
        raise Invalid("too_long", f"An e-mail address has at most {MAX_BYTES} bytes.")
    return Email(address, key)


def routed(address: str) -> str:
    """The address as mail servers take it: an international domain in its ASCII form, the local part as it is."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}"


def masked(address: str) -> str:
    """`j•••@e•••.com`: enough to recognise one's own address, no use to anybody else, and nothing that could be clicked."""
    local, _, domain = address.rpartition("@")
    name, dot, top = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••{dot}{top}" if dot else f"{local[:1]}•••@{domain}"


def half_masked(address: str) -> str:
    """`j•••@example.com`: for whoever holds a link that was mailed there."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"


def _refuse_lookalikes(address: str) -> None:
    """No character that some other software may take for an ASCII one.

    A compatibility form (full-width, ligature), or one whose upper or lower case reaches into ASCII: the dotless i
    upper-cases to I, so a system that compares in upper case would mail one person's reset to another.
    """
    if unicodedata.normalize("NFKC", address) != address:
        raise Invalid("invalid", "The address contains characters that look like others.")
    if _INVISIBLE.search(address):
        raise Invalid("invalid", "The address contains characters that cannot be seen.")
    for char in address:
        if char.isascii():
            continue
        cases = char.upper() + char.lower() + char.casefold()
        if any(case.isascii() for case in cases) or unicodedata.category(char)[0] in "CZ":
            raise Invalid("invalid", "The address contains characters that look like others or cannot be seen.")


def _fold_local(local: str) -> str:
    folded = unicodedata.normalize("NFC", local.casefold())
    if max(len(local.encode()), len(folded.encode())) > MAX_LOCAL_BYTES:
        raise Invalid("too_long", f"The part before the @ has at most {MAX_LOCAL_BYTES} bytes.")
    if not all(_ATOM.fullmatch(atom) for atom in local.split(".")):
        raise Invalid("invalid", "The part before the @ is not usable.")
    return folded


def _fold_domain(domain: str) -> str:
    """The domain's lower-case ASCII form (RFC 5891); both spellings of an international name give the same."""
    wrong = Invalid("invalid", "The part after the @ is not a domain name.")
    labels = unicodedata.normalize("NFC", domain.lower()).split(".")
    folded = ".".join(_fold_label(label, wrong) for label in labels)
    if len(folded) > MAX_DOMAIN_BYTES or labels[-1].isdigit() or (len(labels) == 1 and folded != "localhost"):
        raise wrong
    return folded


def _fold_label(label: str, wrong: Invalid) -> str:
    """One label; refused where Python's IDNA 2003 would map it to another than was written."""
    punycode = label.startswith("xn--")
    try:
        written = label.encode("ascii").decode("idna") if punycode else label
        folded = written.encode("idna").decode("ascii") if label else ""
        read = folded.encode("ascii").decode("idna")
    except UnicodeError:
        raise wrong from None
    if punycode:
        _refuse_lookalikes(written)
    if read != written or _DEVIATIONS & set(written) or not _LABEL.fullmatch(folded) or (label.isascii() and folded != label):
        raise wrong
    return folded
