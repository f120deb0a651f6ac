"""Accounts looked for: by a beginning of the address or name, by number, id, role, status or age."""

from __future__ import annotations

from collections.abc import Iterator

from authsvc.flows.core import Core
from authsvc.flows.users import Account, account_of
from authsvc.primitives import emails, ids
from authsvc.problems import Invalid
from authsvc.rules import phones
from authsvc.rules.access import USER
from authsvc.store.directory import Place, Wanted
from authsvc.store.users import folded_name

PAGE = 200


def wanted(q: str | None = None, role: str | None = None, status: str | None = None, created_after: int | None = None) -> Wanted:
    """What somebody looks for. `q` is a whole id or phone number, or the beginning of an address or name; `created_after`
    in ms."""
    since = "" if created_after is None else ids.first_at(ids.USER, created_after)
    common = Wanted(
        since=since, created_after=-1 if created_after is None else created_after, role=None if role == USER else role, status=status
    )
    if q is None:
        return common
    if ids.is_id(q, ids.USER):
        return common._replace(since=max(since, q), until=q + "0")
    number = _number(q)
    if number is not None:
        return common._replace(number=number)
    return common._replace(email_key=_email_key(q), name_key=folded_name(q))


def page(core: Core, search: Wanted, place: Place | None, limit: int) -> tuple[list[Account], Place | None]:
    """Up to so many accounts, and where the next page begins: newest first, or in the order of addresses and then of names.
    A page may be short, even empty, though there are more."""
    with core.store.read() as tx:
        found, behind = tx.directory.page(search, place, limit)
        return [account_of(tx, user) for user in found], behind


def every(core: Core, search: Wanted) -> Iterator[Account]:
    """All that are found, read a page at a time so that no read is long."""
    place = None
    while True:
        accounts, place = page(core, search, place, PAGE)
        yield from accounts
        if place is None:
            return


def _number(q: str) -> str | None:
    try:
        return phones.parse(q)
    except Invalid:
        return None


def _email_key(q: str) -> str:
    """The beginning of a folded address: of a whole one exactly, else in lower case."""
    try:
        return emails.parse(q).key
    except Invalid:
        return folded_name(q.strip(" "))
