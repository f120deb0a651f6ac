"""Codes by SMS."""

from __future__ import annotations

from authsvc.factors.sent import SentCodes
from authsvc.rules.challenges import SMS as CHANNEL

SMS = SentCodes("sms", "sms", CHANNEL)
