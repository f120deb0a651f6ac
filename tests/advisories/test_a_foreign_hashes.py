"""A2, A7: accounts that came with another system's password hash tell no more, and take no more, than others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import argon2.low_level
import pytest

from authsvc.app import App
from authsvc.cli import records
from authsvc.events import CLI
from authsvc.flows import moving_in
from tests.foreign import MADE_BY
from tests.support import EMAIL, PASSWORD, Client, FakeWorld, event_rows, running, together

FREE = {"limit_login": "0", "limit_login_account": "0", "limit_login_network": "0"}
MEMORY_KIB = 1_024


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path, FakeWorld(), hash_memory_kib=MEMORY_KIB, hash_budget_mib=4, **FREE) as app:
        yield app


def come(app: App, email: str, password_hash: str) -> None:
    """An account from elsewhere."""
    line = {"type": "user", "email": email, "password_hash": password_hash}
    one = records.record(json.dumps(line).encode(), app.core.hasher, {})
    assert moving_in.write(app.core, [(1, one)], CLI).made == 1


def test_a2_a_wrong_password_for_a_foreign_hash_is_answered_as_one_for_nobody(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: the same answer, the same record, and at least the hash work that an unknown address costs; a right password costs ours too."""
    come(app, EMAIL, MADE_BY["werkzeug pbkdf2 sha256"](PASSWORD))
    checked: list[bytes] = []
    real = argon2.low_level.verify_secret
    monkeypatch.setattr(argon2.low_level, "verify_secret", lambda *given: checked.append(given[0]) or real(*given))
    client = Client(app)
    answers = []
    for email in (EMAIL, "nobody@example.com"):
        before = len(checked)
        answers.append(client.login(email, "wrong-" + PASSWORD))
        assert len(checked) - before == 1
    bodies = [{name: value for name, value in answer.json().items() if name != "request_id"} for answer in answers]
    assert bodies[0] == bodies[1]
    assert [name for name, _ in answers[0].headers] == [name for name, _ in answers[1].headers]
    assert [json.loads(row["data"]) for row in event_rows(app)[-2:]] == [{"reason": "credentials"}] * 2


def test_a7_parallel_sign_ins_on_hungry_hashes_stay_within_the_budget(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A7: whatever mix of hashes is checked at once, together they never hold more memory than the budget; all are answered."""
    from argon2 import PasswordHasher

    for number in range(4):
        hungry = PasswordHasher(time_cost=1, memory_cost=MEMORY_KIB * (number + 1), parallelism=1)
        come(app, f"{number}@example.com", hungry.hash(PASSWORD))
    app.core.hasher.slots = 4
    app.core.hasher._start()
    held, most, lock = [0], [0], threading.Lock()
    real = argon2.low_level.verify_secret

    def watched(encoded: bytes, *rest: object) -> bool:
        memory = int(encoded.split(b"m=")[1].split(b",")[0])
        with lock:
            held[0] += memory
            most[0] = max(most[0], held[0])
        try:
            return real(encoded, *rest)
        finally:
            with lock:
                held[0] -= memory

    monkeypatch.setattr(argon2.low_level, "verify_secret", watched)
    answers = together(12, lambda number: Client(app).login(f"{number % 4}@example.com", "wrong-" + PASSWORD).status)
    assert set(answers) == {401}
    assert MEMORY_KIB * 4 <= most[0] <= 4 * 1024
