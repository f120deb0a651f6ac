"""All kinds of second factors. A new one is a file and an entry here."""

from __future__ import annotations

from collections.abc import Mapping

from authsvc.factors.email import EMAIL
from authsvc.factors.kind import FactorKind
from authsvc.factors.recovery import RECOVERY
from authsvc.factors.sms import SMS
from authsvc.factors.totp import TOTP

KINDS: tuple[FactorKind, ...] = (TOTP, SMS, EMAIL, RECOVERY)
BY_TYPE: Mapping[str, FactorKind] = {kind.type: kind for kind in KINDS}
