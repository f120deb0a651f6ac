"""Roles and what they give."""

from __future__ import annotations

import json
from pathlib import Path

from authsvc.store.roles import Role
from tests.support import running


def test_the_caps_of_roles_are_joined_and_unknown_roles_give_none(tmp_path: Path) -> None:
    """Built-in and own roles together, each cap once, sorted; a name without a role is nothing."""
    with running(tmp_path) as app:
        with app.core.store.write() as tx:
            tx.roles.put(Role("editor", "", json.dumps(["blog:write", "blog:read"]), 1, 1))
            tx.roles.put(Role("reader", "", json.dumps(["blog:read"]), 1, 1))
        with app.core.store.read() as tx:
            assert tx.roles.caps_of(["reader", "editor", "user", "gone"]) == ["blog:read", "blog:write"]
            assert tx.roles.caps_of(["admin"]) == ["*"]
            assert tx.roles.caps_of([]) == []
            assert tx.roles.unknown(["admin", "user", "editor", "gone", "also"]) == ["also", "gone"]
