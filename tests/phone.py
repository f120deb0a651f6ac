"""The owner's devices: pyotp as the authenticator of a factor, and the codes and links that came by SMS and mail."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import pyotp

from authsvc.app import App
from authsvc.config.limits import LIMITS
from tests.support import EMAIL, PASSWORD, Answer, Client, FakeWorld

NUMBER = "+4915112345678"
OTHER_NUMBER = "+14155550100"
OTHER = "other@mail.com"
WRONG = "amber-meadow-55"
STEP = 30

SMS = {"sms": "console:", "sms_countries": "+1,+49"}
FREE = {f"limit_{name}": "0" for name in LIMITS if name != "code_account"}
"""Every limit off but the one on codes, for tests that are not about them."""


@dataclass
class Authenticator:
    """An app on the owner's phone that holds the secret of one factor."""

    world: FakeWorld
    secret: str
    factor_id: str
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        """Its code now, or so many time steps from now."""
        return pyotp.TOTP(self.secret).at(self.world.now() // 1000 + steps * STEP)

    def next(self) -> str:
        """Its next code, once it is there."""
        self.world.advance(STEP)
        return self.code()

    def wrong(self) -> str:
        """Six digits that are none of its codes near to this moment."""
        near = {self.code(steps) for steps in range(-20, 21)}
        return next(f"{number:06}" for number in range(1_000_000) if f"{number:06}" not in near)


def set_up_totp(client: Client, token: str, **more: Any) -> Authenticator:
    """A factor that still waits for its first code."""
    made = client.post("/mfa/setup", {"type": "totp", **more}, token=token)
    assert made.status == 201, made.body
    return Authenticator(client.app.core.world, made["secret"], made["factor_id"])


def enrol_totp(client: Client, token: str, **more: Any) -> Authenticator:
    """An authenticator that counts."""
    made = set_up_totp(client, token, **more)
    confirmed = client.post("/mfa/verify", {"factor_id": made.factor_id, "code": made.code()}, token=token)
    assert confirmed.status == 200, confirmed.body
    made.recovery_codes = confirmed.json().get("recovery_codes", [])
    return made


def enrol_sms(client: Client, token: str, number: str = NUMBER) -> str:
    """The id of an SMS factor that counts."""
    made = client.post("/mfa/setup", {"type": "sms", "phone_number": number}, token=token)
    assert made.status == 201, made.body
    confirmed = client.post("/mfa/verify", {"factor_id": made["factor_id"], "code": sms_code(client.app, number)}, token=token)
    assert confirmed.status == 200, confirmed.body
    return str(made["factor_id"])


def enrol_email(client: Client, token: str, email: str = EMAIL) -> str:
    """The id of an e-mail factor that counts, of an account whose address is proved on the way."""
    prove_address(client, token, email)
    made = client.post("/mfa/setup", {"type": "email"}, token=token)
    assert made.status == 201, made.body
    confirmed = client.post("/mfa/verify", {"factor_id": made["factor_id"], "code": mail_code(client.app, email)}, token=token)
    assert confirmed.status == 200, confirmed.body
    return str(made["factor_id"])


def prove_address(client: Client, token: str, email: str = EMAIL) -> None:
    """Confirm the address of an account by the mailed code."""
    asked = client.post("/email/verify", {}, token=token)
    answer = client.post("/otp/verify", {"challenge_id": asked["challenge_id"], "code": mail_code(client.app, email)}, token=token)
    assert answer.status == 200, answer.body


def first_step(client: Client, email: str = EMAIL, password: str = PASSWORD, **more: Any) -> str:
    """The mfa_token of a sign-in whose password was right."""
    answer = client.login(email, password, **more)
    assert (answer.status, answer.code) == (401, "mfa_required"), answer.body
    return str(answer["mfa_token"])


def second_step(client: Client, mfa_token: str, code: str, **more: Any) -> Answer:
    return client.post("/mfa/verify", {"mfa_token": mfa_token, "code": code, **more})


def refused(answer: Answer, status: int, code: str) -> Answer:
    """The same answer, once it is seen to be this refusal and to hold no credentials."""
    assert (answer.status, answer.code) == (status, code), answer.body
    assert not answer.header_list("Set-Cookie")
    assert b"access_token" not in answer.body
    return answer


def messages(app: App, begin: str = "---") -> list[str]:
    """Every mail and SMS that was sent so far and begins so, oldest first."""
    while app.deliveries.run_once():
        pass
    return [line for line in app.core.world.lines if line.startswith("--- ") and line.startswith(begin)]


def mails(app: App, to: str = EMAIL, subject: str = "") -> list[str]:
    return messages(app, f"--- mail to {to}: {subject}")


def texts(app: App, to: str = NUMBER) -> list[str]:
    return messages(app, f"--- SMS to {to}\n")


def sms_code(app: App, to: str = NUMBER) -> str:
    """The code of the newest SMS to a number."""
    return re.findall(r"^(\d{6}) ", texts(app, to)[-1], re.MULTILINE)[-1]


def mail_code(app: App, to: str = EMAIL) -> str:
    """The code of the newest mail to an address that has one."""
    return [code for mail in mails(app, to) for code in re.findall(r"^    (\d{6})$", mail, re.MULTILINE)][-1]


def mail_link(app: App, path: str, to: str = EMAIL) -> str:
    """The token of the newest mailed link below a path."""
    return [token for mail in mails(app, to) for token in re.findall(rf"{path}/(\S+)", mail)][-1]


def other_than(code: str) -> str:
    """Six digits that are not this code."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def claims(answer: Answer) -> dict[str, Any]:
    """What the access token of an answer says, unverified."""
    middle = answer["access_token"].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4))))


def rows(app: App, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What lies in the database, read with a connection of our own."""
    connection = sqlite3.connect(app.core.store.path)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def live_sessions(app: App) -> int:
    return int(rows(app, "SELECT count(*) FROM sessions WHERE ended_at IS NULL")[0][0])
