"""What schemathesis is told of us: how a caller signs in, and which refusals of described input are faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import count
from urllib.parse import urlencode

import schemathesis
from schemathesis.generation import GenerationMode

URL, CALLER = os.environ["FUZZ_URL"], os.environ["FUZZ_AS"]
PASSWORD = "correct horse battery staple"  # that of the examples, so that they confirm and change it
SECONDS = 10  # a session may be ended by what is tried; a new one is opened so often
# Codes of fields that a schema tells of. The others depend on the settings, on other fields, or on what there is.
TOLD = {"wrong_type", "unknown_field"}
LONGEST_QUERY = 30_000  # of the 32 KiB that waitress reads of a head
_numbers = count(1)


class SignedIn:
    """A session of an account of its kind; the account is made anew where it was disabled, deleted or changed."""

    email = ""

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        token = self._sign_in()
        while token is None:
            SignedIn.email = f"fuzz{next(_numbers)}@example.com"
            roles = ["--role", "admin"] if CALLER == "admin" else []
            command = [sys.executable, "-m", "authsvc", "user", "create", self.email, *roles, "--password-stdin"]
            subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, stdout=subprocess.DEVNULL)
            token = self._sign_in()
        return token

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"

    def _sign_in(self) -> str | None:
        body = json.dumps({"email": self.email or "x@example.com", "password": PASSWORD}).encode()
        request = urllib.request.Request(f"{URL}/login", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["access_token"]
        except urllib.error.HTTPError:
            return None


if CALLER != "anonymous":
    schemathesis.auth(refresh_interval=SECONDS)(SignedIn)


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: dict[str, object] | None) -> bool:
    """What the HTTP server itself refuses by 431, before we see it, says nothing of us."""
    return len(urlencode(query or {}, errors="replace")) < LONGEST_QUERY


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, object]) -> None:
    """Names have no addresses where there is no net: webhooks go to a port of this machine at which nobody listens."""
    if isinstance(case.body, dict) and case.body.get("url") == "https://hooks.example.com/authsvc":
        case.body["url"] = "https://127.0.0.1:1024/authsvc"


@schemathesis.check
def refused_for_a_reason_that_is_told(context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Input that goes by the schema is never refused for its form."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    problem = response.json() if response.status_code >= 400 and response.content else {}
    faults = [fault for fault in problem.get("errors", []) if fault["code"] in TOLD]
    assert problem.get("code") not in ("invalid_json", "unsupported_media_type"), problem
    assert faults == [], faults
