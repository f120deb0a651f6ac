"""`authsvc key create|list|revoke`: API keys, through the same flow, rules and audit as the API."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.events import CLI
from authsvc.flows import keys
from authsvc.flows.core import Core
from authsvc.flows.keys import NewKey
from authsvc.handlers import fields
from authsvc.handlers.keys import network, public
from authsvc.primitives.ids import NEWEST
from authsvc.problems import Invalid
from authsvc.rules.access import EVERYTHING
from authsvc.store.keys import ApiKey

DAY_MS = 86_400_000
MOST_DAYS = 36_500
PAGE = 200


def _of_a_new_one(act: ArgumentParser) -> None:
    act.add_argument("name", metavar="NAME")
    act.add_argument("--cap", action="append", default=[], metavar="CAP", required=True, help="what it may do, each by its own --cap")
    act.add_argument("--expires", type=int, metavar="DAYS", help="without it, never")
    act.add_argument("--network", action="append", default=[], metavar="CIDR", help="where it may be used from; without it, anywhere")


def _of_an_id(act: ArgumentParser) -> None:
    act.add_argument("key", metavar="ID")


def _create(core: Core, arguments: Namespace) -> None:
    days = arguments.expires
    if days is not None and not 0 < days <= MOST_DAYS:
        raise Invalid("not_allowed", f"--expires takes from 1 to {MOST_DAYS} days.")
    expires_at = None if days is None else core.world.now() + days * DAY_MS
    networks = [network(given) for given in arguments.network]
    row, key = keys.create(core, NewKey(fields.name(arguments.name), fields.caps(arguments.cap), expires_at, networks), CLI, EVERYTHING)
    if arguments.json:
        print(json.dumps(public(row) | {"key": key}))
    else:
        print(f"id: {row.id}\nname: {row.name}\ncaps: {', '.join(row.granted)}\nkey: {key}")


def _list(core: Core, arguments: Namespace) -> None:
    before = NEWEST
    while page := keys.page(core, before=before, limit=PAGE):
        for row in page:
            _show(row, arguments)
        before = page[-1].id


def _revoke(core: Core, arguments: Namespace) -> None:
    keys.revoke(core, arguments.key, CLI, EVERYTHING)
    print(json.dumps({"revoked": arguments.key}) if arguments.json else f"revoked {arguments.key}")


ACTS: Acts = {
    "create": Act("make a key, and show it once", on_core(_create), _of_a_new_one),
    "list": Act("every key, and when it was last used", on_core(_list)),
    "revoke": Act("end a key at once", on_core(_revoke), _of_an_id),
}


def _show(row: ApiKey, arguments: Namespace) -> None:
    seen = public(row)
    if arguments.json:
        print(json.dumps(seen))
        return
    state = "revoked" if row.revoked_at is not None else f"until {seen['expires_at'][:10]}" if row.expires_at is not None else "-"
    print(f"{row.id}  {state:16}  used {(seen['last_used_at'] or 'never')[:10]}  {','.join(row.granted)}  {row.name}")
