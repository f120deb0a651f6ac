"""Second factors in the store: the write is the check, and no row holds a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.flows.users import NewUser, insert
from authsvc.primitives import ids, recovery, totp
from authsvc.primitives.emails import parse
from authsvc.store.factors import UNCONFIRMED_MS, Batch, Factor
from authsvc.store.users import User
from tests.support import START, FakeWorld, together


def person(app: App, email: str = "a@example.com") -> User:
    with app.core.store.write() as tx:
        return insert(tx, app.core, NewUser(parse(email)), None)


def waiting(app: App, user: User, type: str = "totp", **more: object) -> Factor:  # noqa: A002
    core = app.core
    factor_id = ids.new(ids.FACTOR, core.world)
    fields = {"label": "Phone", "target": None, "nonce": "nonce", "created_at": core.world.now(), "confirmed_at": None, "last_step": 0}
    factor = Factor(id=factor_id, kid=core.keyring.current.kid, user_id=user.id, type=type, **fields | {"last_used_at": None} | more)
    with core.store.write() as tx:
        tx.factors.add(factor)
    return factor


def counting(app: App, user: User, type: str = "totp") -> Factor:  # noqa: A002
    factor = waiting(app, user, type)
    with app.core.store.write() as tx:
        confirmed = tx.factors.confirm(factor.id, app.core.world.now())
    assert confirmed is not None
    return confirmed


def batch_of(app: App, user: User, *, used: int = 0) -> Batch:
    batch = Batch(user.id, ids.new(ids.RECOVERY, app.core.world), app.core.keyring.current.kid, app.core.world.now(), used)
    with app.core.store.write() as tx:
        tx.factors.put_batch(batch)
    return batch


def enabled(app: App, user: User) -> bool:
    with app.core.store.read() as tx:
        found = tx.users.get(user.id)
    assert found is not None
    return bool(found.mfa_enabled)


@pytest.fixture
def user(app: App) -> User:
    return person(app)


def test_a_factor_that_waits_does_not_count(app: App, user: User) -> None:
    """It is found where it is confirmed, and nowhere else."""
    factor = waiting(app, user)

    with app.core.store.read() as tx:
        assert tx.factors.of(user.id) == []
        assert tx.factors.get(factor.id, user.id) == factor
        assert tx.factors.waiting(user.id, None, None) == factor
        assert tx.factors.waiting(user.id, factor.id, "totp") == factor
        assert tx.factors.waiting(user.id, factor.id, "sms") is None
        assert tx.factors.waiting(user.id, "fac_other", None) is None
    assert enabled(app, user) is False


def test_a_factor_is_confirmed_once(app: App, user: User) -> None:
    """The first time it counts from then on; the second time nothing changes."""
    factor = waiting(app, user)
    with app.core.store.write() as tx:
        confirmed = tx.factors.confirm(factor.id, START + 5)
        assert tx.factors.confirm(factor.id, START + 6) is None

    assert confirmed == factor._replace(confirmed_at=START + 5, last_used_at=START + 5)
    with app.core.store.read() as tx:
        assert tx.factors.of(user.id) == [confirmed]
        assert tx.factors.waiting(user.id, None, None) is None


def test_of_many_confirmations_at_once_one_counts(app: App, user: User) -> None:
    """C10: however many threads bring the first code, the factor is confirmed by one."""
    factor = waiting(app, user)

    def act(_: int) -> bool:
        with app.core.store.write() as tx:
            return tx.factors.confirm(factor.id, START) is not None

    assert sorted(together(20, act)) == [False] * 19 + [True]


@pytest.mark.parametrize(("late", "confirmed"), [(0, True), (UNCONFIRMED_MS, True), (UNCONFIRMED_MS + 1, False), (86_400_000, False)])
def test_a_factor_waits_fifteen_minutes(app: App, user: User, late: int, confirmed: bool) -> None:
    """Then its first code comes too late, and the account stays as it was."""
    factor = waiting(app, user)
    with app.core.store.write() as tx:
        assert (tx.factors.confirm(factor.id, START + late) is not None) is confirmed

    assert UNCONFIRMED_MS == 15 * 60 * 1000
    assert enabled(app, user) is confirmed


def test_a_new_attempt_takes_the_place_of_one_that_waits(app: App, user: User) -> None:
    """One waiting factor of a kind: those of other kinds and accounts, and confirmed ones, stay."""
    other, kept = person(app, "b@example.com"), counting(app, user)
    theirs, mail, first = waiting(app, other), waiting(app, user, "email"), waiting(app, user)
    second = waiting(app, user)

    with app.core.store.read() as tx:
        assert tx.factors.get(first.id, user.id) is None
        assert [tx.factors.get(f.id, f.user_id) for f in (kept, theirs, mail, second)] == [kept, theirs, mail, second]


def test_what_waited_too_long_is_swept(app: App, world: FakeWorld, user: User) -> None:
    """More rows leave than come; a confirmed factor is never swept."""
    old = [waiting(app, person(app, f"p{n}@example.com")) for n in range(3)]
    kept = counting(app, user)
    world.advance(UNCONFIRMED_MS / 1000 + 1)
    new = [waiting(app, person(app, f"q{n}@example.com")) for n in range(2)]

    with app.core.store.read() as tx:
        assert [tx.factors.get(f.id, f.user_id) for f in old] == [None] * 3
        assert [tx.factors.get(f.id, f.user_id) for f in new] == new
        assert tx.factors.of(user.id) == [kept]


def test_nobody_gets_another_users_factor(app: App, user: User) -> None:
    """C9: an id of somebody else's is as good as none, for reading and for removing."""
    factor, stranger = counting(app, user), person(app, "b@example.com")
    with app.core.store.write() as tx:
        assert tx.factors.get(factor.id, stranger.id) is None
        tx.factors.remove(stranger.id, [factor.id])

    with app.core.store.read() as tx:
        assert tx.factors.of(user.id) == [factor]
    assert enabled(app, user) is True


def test_a_step_is_spent_once_and_only_rises(app: App, user: User) -> None:
    """C7: the same step, and an older one after a newer, are refused and change nothing."""
    factor = counting(app, user)
    with app.core.store.write() as tx:
        assert tx.factors.advance(factor.id, 10, START + 1) is True
        assert [tx.factors.advance(factor.id, step, START + 2) for step in (10, 9, 0, -1)] == [False] * 4
        assert tx.factors.get(factor.id, user.id) == factor._replace(last_step=10, last_used_at=START + 1)
        assert tx.factors.advance(factor.id, 11, START + 3) is True
        assert tx.factors.advance(factor.id, 10, START + 4) is False
        assert tx.factors.advance("fac_other", 99, START + 4) is False


def test_of_two_with_one_step_one_wins(app: App, user: User) -> None:
    """C7: in twenty threads one step is spent once."""
    factor = counting(app, user)

    def act(_: int) -> bool:
        with app.core.store.write() as tx:
            return tx.factors.advance(factor.id, 10, START)

    assert sorted(together(20, act)) == [False] * 19 + [True]


def test_mfa_enabled_follows_the_factors(app: App, user: User) -> None:
    """True from the first confirmed one to the last; the account's version rises when it changes, and only then."""
    with app.core.store.read() as tx:
        before = tx.users.get(user.id)
    first, second = counting(app, user), counting(app, user, "email")
    seen = [enabled(app, user)]
    for factor in (first, second):
        with app.core.store.write() as tx:
            tx.factors.remove(user.id, [factor.id])
        seen.append(enabled(app, user))
    with app.core.store.read() as tx:
        after = tx.users.get(user.id)

    assert seen == [True, True, False]
    assert before is not None
    assert after is not None
    assert after.version == before.version + 2


def test_the_last_factor_takes_the_recovery_codes_along(app: App, user: User) -> None:
    """They stay while another factor is left, and another account's stay anyway."""
    first, second, other = counting(app, user), counting(app, user, "email"), person(app, "b@example.com")
    counting(app, other)
    batch, theirs = batch_of(app, user), batch_of(app, other)
    with app.core.store.write() as tx:
        tx.factors.remove(user.id, [first.id])
        assert tx.factors.batch(user.id) == batch
        tx.factors.remove(user.id, [second.id])
        assert tx.factors.batch(user.id) is None
        assert tx.factors.batch(other.id) == theirs


def test_removing_all_takes_what_waits_too(app: App, user: User) -> None:
    """Those that counted are told; nothing of the account is left, all of others' is."""
    other = person(app, "b@example.com")
    theirs, counted, pending = counting(app, other), counting(app, user), waiting(app, user, "email")
    batch_of(app, user)
    with app.core.store.write() as tx:
        assert tx.factors.remove_all(user.id) == [counted]
        assert (tx.factors.of(user.id), tx.factors.get(pending.id, user.id), tx.factors.batch(user.id)) == ([], None, None)
        assert tx.factors.of(other.id) == [theirs]
    assert (enabled(app, user), enabled(app, other)) == (False, True)


def test_a_recovery_code_is_spent_once(app: App, user: User) -> None:
    """Its bit is set by the write that finds it unset; other codes are not touched."""
    batch = batch_of(app, user)
    with app.core.store.write() as tx:
        assert tx.factors.spend_recovery(batch, 1 << 3) == 8
        assert tx.factors.spend_recovery(batch, 1 << 3) is None
        assert tx.factors.spend_recovery(batch, 1 << 9) == 520
        assert tx.factors.batch(user.id) == batch._replace(used=520)


def test_of_many_uses_of_one_recovery_code_one_counts(app: App, user: User) -> None:
    """C10: in twenty threads a code is used once."""
    batch = batch_of(app, user)

    def act(_: int) -> int | None:
        with app.core.store.write() as tx:
            return tx.factors.spend_recovery(batch, 4)

    results = together(20, act)

    assert sorted(results, key=str) == [4, *[None] * 19]


def test_new_recovery_codes_end_the_old_ones(app: App, user: User) -> None:
    """One batch for an account: an old one can no more be spent from, and nothing is used of the new one."""
    old, new = batch_of(app, user, used=7), batch_of(app, user)
    with app.core.store.write() as tx:
        assert tx.factors.spend_recovery(old, 8) is None
        assert tx.factors.batch(user.id) == new


def test_a_deleted_account_leaves_nothing(app: App, user: User) -> None:
    """Its factors and recovery codes go with it."""
    factor = counting(app, user)
    batch_of(app, user)
    with app.core.store.write() as tx:
        tx.users.delete(user.id)
        assert (tx.factors.get(factor.id, user.id), tx.factors.batch(user.id)) == (None, None)


def test_no_secret_lies_in_the_file(app: App, user: User, tmp_path: Path) -> None:
    """Neither the shared secret nor a recovery code stands in the database or its log, in any spelling."""
    factor, batch, key = counting(app, user), batch_of(app, user), app.core.keyring.current
    shared = totp.secret(key, factor.id, factor.nonce)
    codes = recovery.codes(key, batch.id)
    secrets = [shared, totp.readable(shared).encode(), shared.hex().encode()]
    secrets += [text.encode() for code in codes for text in (code, code.replace("-", ""), code.upper())]

    content = b"".join(file.read_bytes() for file in tmp_path.glob("authsvc.db*") if file.suffix != ".key")

    assert {file.name for file in tmp_path.glob("authsvc.db*")} >= {"authsvc.db", "authsvc.db-wal"}
    assert factor.id.encode() in content
    assert batch.id.encode() in content
    assert [secret for secret in secrets if secret in content] == []
