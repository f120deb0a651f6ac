"""Promises of flows/passwords.py: which passwords may be set, and what checking one tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.flows import passwords, users
from authsvc.problems import Fault, Problem
from tests.support import PASSWORD, Client, FakeWorld, running

OWN = ("marie.curie@example.com", "Marie Curie")


def faults(app: App, password: str, field: str = "password") -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        passwords.accept(app.core, password, OWN, field=field)
    assert caught.value.code == "invalid_request"
    return [(fault.field, fault.code) for fault in caught.value.errors]


@pytest.mark.parametrize("password", ["password123", "aaaaaaaaaa", "marie.curie@example.com"])
def test_a_weak_password_is_warned_of_or_refused(tmp_path: Path, world: FakeWorld, password: str) -> None:
    """`warn` lets it in with one warning, `refuse` names the field; a good one passes both in silence."""
    with running(tmp_path, world, password_weak="warn") as app:
        (warning,) = passwords.accept(app.core, password, OWN, field="new_password")
        assert isinstance(warning, Fault)
        assert (warning.field, warning.code) == ("new_password", "password_weak")
        assert passwords.accept(app.core, PASSWORD, OWN) == []
    with running(tmp_path, world, password_weak="refuse") as app:
        assert faults(app, password, "new_password") == [("new_password", "password_weak")]
        assert passwords.accept(app.core, PASSWORD, OWN) == []


@pytest.mark.parametrize("least", [1, 8, 12])
def test_length_is_counted_in_characters(tmp_path: Path, world: FakeWorld, least: int) -> None:
    """A character of four bytes is one; one too few is refused whether or not weak ones are let in."""
    with running(tmp_path, world, password_min=least, password_weak="warn") as app:
        enough = "🔑🗝🚪🪟🧱🪜🧲🔩⚙🪛🔨🪓"[:least]
        assert len(passwords.accept(app.core, enough, OWN)) <= 1
        assert faults(app, enough[:-1]) == [("password", "too_short")]


@pytest.mark.parametrize("given", [PASSWORD, "wrong-harbour-91", "", PASSWORD.upper(), PASSWORD + "\n"])
def test_checking_tells_right_from_wrong_and_rehashes_only_what_is_right_and_old(tmp_path: Path, world: FakeWorld, given: str) -> None:
    """A wrong password never yields a hash; a right one does exactly when the parameters have changed."""
    right = given == PASSWORD
    with running(tmp_path, world) as app:
        user_id = Client(app).register()["user"]["id"]
        user = users.find(app.core, user_id).user
        assert passwords.check(app.core, user, given) == (right, None)
        assert passwords.check(app.core, None, given) == (False, None)
        assert passwords.check(app.core, user._replace(password_hash=None), given) == (False, None)
    with running(tmp_path, world, hash_time=2) as app:
        found, rehashed = passwords.check(app.core, user, given)
        assert found is right
        assert (rehashed is not None) is right
        assert rehashed is None or (app.core.hasher.verify(rehashed, given) and not app.core.hasher.is_stale(rehashed))


def test_generated_passwords_differ(app: App) -> None:
    """No two accounts get the same one, and none is weak."""
    made = [passwords.generated(app.core) for _ in range(200)]

    assert len(set(made)) == 200
    assert [passwords.accept(app.core, str(password), OWN) for password in made] == [[]] * 200, "as if somebody had thought of it"
