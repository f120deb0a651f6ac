"""What people set of their own accounts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authsvc import events
from authsvc.events import Cause
from authsvc.flows import addresses
from authsvc.flows.core import Core
from authsvc.flows.users import Account, etag
from authsvc.http import etags
from authsvc.primitives.emails import Email
from authsvc.problems import Problem


def change(
    core: Core, user_id: str, values: Mapping[str, Any], cause: Cause, *, if_match: str | None, locale: str | None = None
) -> Account:
    """Set some of name, picture, locale and metadata; absent ones stay. A new e-mail address has to be proved first.

    `if_match`: ETags, comma-separated, or None for any.
    """
    values = dict(values)
    email: Email | None = values.pop("email", None)
    columns = {name: json.dumps(value, separators=(",", ":")) if name == "metadata" else value for name, value in values.items()}
    with core.store.write() as tx:
        user = tx.users.get(user_id)
        if user is None:
            raise Problem("not_found")
        if if_match is not None and not etags.matches(if_match, etag(user)):
            raise Problem("precondition_failed")
        if "phone_number" in columns and columns["phone_number"] != user.phone_number:
            columns["phone_verified_at"] = None  # it is theirs once a code that went there came back
        if columns:
            user = tx.users.change(user_id, core.world.now(), **columns)
            tx.events.record(events.USER_UPDATED, cause, subject=user_id, data={"fields": sorted(columns.keys() - {"phone_verified_at"})})
        if email is not None:
            addresses.ask_to_change(tx, core, user, email, cause, locale=locale)
        return Account(user, tx.users.roles(user_id))
