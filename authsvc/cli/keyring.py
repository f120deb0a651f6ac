"""`authsvc keyring list|rotate|retire|export`: the keys that everything is derived from, and those that sign access tokens."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.events import CLI
from authsvc.flows import keyring, signing
from authsvc.flows.core import Core
from authsvc.flows.keyring import SECRET, SIGNING, Listed
from authsvc.flows.users import timestamp
from authsvc.http.response import PUBLIC_SECONDS


def _of_a_kind(act: ArgumentParser) -> None:
    act.add_argument("kind", choices=(SECRET, SIGNING), help="what all is derived from, or what signs access tokens")


def _of_a_kid(act: ArgumentParser) -> None:
    act.add_argument("kid", metavar="KID", help="after -- where it begins with a dash")
    act.add_argument("--force", action="store_true", help="though rows need it: they are worth nothing any more")


def _list(core: Core, arguments: Namespace) -> None:
    for key in keyring.every(core):
        seen = _seen(key)
        if arguments.json:
            print(json.dumps(seen))
            continue
        print(
            f"{key.kind:8} {key.kid:43}  {key.alg or '-':6} {key.state:9} {'since ' + seen['created_at'] if seen['created_at'] else 'not used yet'}{_until(seen['ends_at'])}"
        )
        for need in seen["needed_by"]:
            print(f"{'':8} {need['rows']:12} {need['what']}{_until(need['until'])}")


def _rotate(core: Core, arguments: Namespace) -> None:
    if arguments.kind == SECRET:
        kid = keyring.rotate_secret(core, CLI)
    else:
        kid, known_for = signing.rotate(core, CLI)
        if known_for < PUBLIC_SECONDS * 1000:
            sys.stderr.write(f"warning: services that keep the key set for {PUBLIC_SECONDS} seconds may not know this key yet\n")
    print(json.dumps({"kind": arguments.kind, "kid": kid}) if arguments.json else f"the current {arguments.kind} key is {kid}")


def _retire(core: Core, arguments: Namespace) -> None:
    kind = keyring.retire(core, arguments.kid, CLI, force=arguments.force)
    print(json.dumps({"retired": arguments.kid, "kind": kind}) if arguments.json else f"retired the {kind} key {arguments.kid}")


def _export(core: Core, _arguments: Namespace) -> None:
    keys = keyring.shared(core)
    sys.stderr.write("warning: whoever has these keys can make access tokens for everybody; send them as you would a password\n")
    print(json.dumps(keys))


ACTS: Acts = {
    "list": Act("each key, how many rows still need it, and until when", on_core(_list)),
    "rotate": Act("let a new secret key, or the next signing key, take over", on_core(_rotate), _of_a_kind),
    "retire": Act("take a key out of use", on_core(_retire), _of_a_kid),
    "export": Act("the sub-keys that verify access tokens under HS256, as a JWK Set", on_core(_export), has_json=False),
}


def _seen(key: Listed) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state,
        "created_at": timestamp(key.created_at),
        "ends_at": timestamp(key.ends_at),
        "rows": key.rows,
        "needed_by": [{"what": need.what, "rows": need.rows, "until": timestamp(need.until)} for need in key.needs],
    }


def _until(at: str | None) -> str:
    return f"  until {at}" if at else ""
