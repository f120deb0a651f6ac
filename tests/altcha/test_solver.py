"""The built-in CAPTCHA against ALTCHA's own JavaScript, run by Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.captchas import EASY, opened
from tests.node import PATIENCE_SECONDS, modules
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, running

HERE = Path(__file__).parent


def solved_by_node(challenge: dict[str, Any]) -> str:
    done = subprocess.run(
        ["node", str(HERE / "solve.mjs")],
        cwd=modules(HERE, "altcha"),
        input=json.dumps(challenge),
        timeout=PATIENCE_SECONDS,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_altchas_own_solver_finds_is_taken_once(tmp_path: Path, world: FakeWorld) -> None:
    """The npm package solves our challenge, and the service takes the payload as it is."""
    with running(tmp_path, world, **EASY) as app:
        client = Client(app)
        challenge = client.get("/captcha?action=register").json()
        payload = solved_by_node(challenge)
        assert opened(payload)["challenge"] == challenge
        body = {"email": EMAIL, "password": PASSWORD, "captcha": payload}
        assert client.post("/register", body).status == 201
        assert client.post("/register", {**body, "email": "other@mail.com"}).code == "captcha_failed"
