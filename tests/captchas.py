"""CAPTCHAs for tests: challenges solved by ALTCHA's own Python library, and vendors that say what a test wants."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import altcha

from tests.smsgateway import Behaviour
from tests.support import Client

EASY = {"captcha": "altcha", "captcha_cost": "100", "captcha_difficulty": "8"}
HOST = "127.0.0.1"  # of the public URL
SITE_KEY = "site-key-of-ours"
SECRET = "secret-that-the-vendor-gave-us"
TOKEN = "0.token-of-a-widget_" + "x" * 100


def solved(challenge: dict[str, Any]) -> str:
    """The payload that a widget would send for a challenge."""
    parsed = altcha.Challenge.from_dict(challenge)
    solution = altcha.solve_challenge(parsed)
    assert solution is not None
    return altcha.Payload(parsed, solution).to_base64()


def fresh(client: Client, action: str) -> str:
    """A challenge of the service, solved."""
    answer = client.get(f"/captcha?action={action}")
    assert answer.status == 200, answer.body
    return solved(answer.json())


def opened(payload: str) -> Any:
    return json.loads(base64.b64decode(payload))


def closed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def changed(payload: str, change: Callable[[Any], Any]) -> str:
    """The payload with something in it changed."""
    value = opened(payload)
    change(value)
    return closed(value)


def vendor(name: str, url: str, **more: str) -> dict[str, str]:
    """The settings of a vendor at this address, asked for every sign-up."""
    places = {"captcha": name, "captcha_secret": SECRET, "captcha_site_key": SITE_KEY, "captcha_verify_url": url}
    return {**places, "captcha_on": "register:always,login:always", **more}


def says(status: int = 200, /, **body: Any) -> Behaviour:
    """A vendor's answer."""
    return lambda handler, _: handler.say(status, body)


def good(**more: Any) -> Behaviour:
    """A token is what it should be, in the eyes of any vendor."""
    return says(**{"success": True, "hostname": HOST, "action": "register", "score": 0.9, "challenge_ts": "2027-01-15T08:00:00Z", **more})


def refused(*codes: str) -> Behaviour:
    return says(**{"success": False, "error-codes": list(codes)})
