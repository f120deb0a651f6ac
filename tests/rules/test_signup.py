"""Who may sign up, as a table."""

from __future__ import annotations

import pytest

from authsvc.rules.signup import is_open

DOMAINS = ("corp.example",)


@pytest.mark.parametrize(
    ("policy", "key", "invited", "let_in"),
    [
        ("open", "a@mail.com", False, True),
        ("open", None, False, True),
        ("domains", "a@corp.example", False, True),
        ("domains", "a@mail.com", False, False),
        ("domains", "a@x.corp.example", False, False),
        ("domains", None, False, False),
        ("domains", "a@mail.com", True, True),
        ("invite", "a@corp.example", False, False),
        ("invite", None, False, False),
        ("invite", "a@mail.com", True, True),
        ("closed", "a@corp.example", False, False),
        ("closed", "a@mail.com", True, False),
        ("nonsense", "a@corp.example", False, False),
    ],
)
def test_each_policy_lets_in_whom_it_names(policy: str, key: str | None, invited: bool, let_in: bool) -> None:
    """Open to all, to a domain's addresses exactly, to the invited, to nobody; a number belongs to no domain."""
    assert is_open(policy, DOMAINS, key, invited=invited) is let_in
