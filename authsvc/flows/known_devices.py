"""Which device a sign-in is tried from, where its account is known to use it. Telling its owner of others is login.py's."""

from __future__ import annotations

from authsvc.flows.core import Core
from authsvc.primitives import devices


def name_of(core: Core, token: str | None, email_key: str) -> str | None:
    """What a browser's device is called, if the account of this address has signed in there lately; another account's is none.

    Looked up by what the token says, never by the address: who holds none learns nothing, and who holds one knows its account.
    """
    device = devices.parse(token, core.keyring, core.world.now())
    if device is None:
        return None
    with core.store.read() as tx:
        user = tx.users.get(device.user_id)
    return device.name if user is not None and user.email_key == email_key and device.issued > user.familiar_since else None
