"""Sign-up has one door: whatever makes an account goes through it, or is an administrator's act."""

from __future__ import annotations

import ast
from pathlib import Path

import authsvc

HOUSE = Path(authsvc.__file__).parent


def test_nothing_makes_accounts_past_the_door() -> None:
    """Only these name `users.insert`; in registration.py only what makes accounts for others does."""
    callers: dict[str, set[str]] = {}
    for file in sorted(HOUSE.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("insert", "users.insert", "tx.users.add"):
                    callers.setdefault(str(file.relative_to(HOUSE)), set()).add(function.name)
    assert callers == {
        "flows/signup.py": {"insert"},
        "flows/registration.py": {"_insert_for"},
        "flows/moving_in.py": {"_insert"},
        "flows/users.py": {"insert"},
    }
