"""What a profile may say of somebody: a name, a language and a picture, whoever sends it."""

from __future__ import annotations

from authsvc.http import shapes

PICTURE_LENGTH = 2_048

name = shapes.text(most=200)
locale = shapes.matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}", "Use a language tag such as en or pt-BR (RFC 5646).", most=35)
picture = shapes.matching(r"https?://[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]+", "Use an http(s) URL.", most=PICTURE_LENGTH)
