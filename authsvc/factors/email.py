"""Codes by mail to the account's own address."""

from __future__ import annotations

from authsvc.factors.sent import SentCodes
from authsvc.rules.challenges import EMAIL as CHANNEL

EMAIL = SentCodes("email", "otp", CHANNEL)  # RFC 8176 has no word for mail
