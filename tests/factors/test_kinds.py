"""One contract for all kinds of second factors: a right code counts once, a wrong one never, and nothing secret is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from authsvc.app import App
from authsvc.events import Cause
from authsvc.factors import recovery as recovery_kind
from authsvc.factors.kind import FactorKind
from authsvc.factors.kinds import BY_TYPE, KINDS
from authsvc.flows import sendings
from authsvc.flows.users import NewUser, insert
from authsvc.primitives import codes, ids, recovery, totp
from authsvc.primitives.emails import parse
from authsvc.primitives.keyring import Keyring
from authsvc.store.factors import Batch, Factor
from authsvc.store.users import User
from tests.support import FakeWorld, running, together

NUMBER = "+4915123456789"
UNLIMITED = {f"limit_{name}": "0" for name in ("sms_pace", "sms_number", "sms_number_day", "sms_network", "sms_prefix", "mail_address")}
GONE = Keyring([b"another key that was never used here"])


@dataclass
class Adapter:
    """What the suite needs of a kind: a factor that counts, and one right code after the other."""

    kind: FactorKind
    seconds: int | None = None  # for which a code is good; None: for ever

    def factor(self, app: App, user: User, number: str = NUMBER) -> Factor:
        core = app.core
        target = number if self.kind.type == "sms" else None
        now, factor_id = core.world.now(), ids.new(ids.FACTOR, core.world)
        factor = Factor(factor_id, core.keyring.current.kid, user.id, self.kind.type, "mine", target, "nonce", now, None, 0, None)
        with core.store.write() as tx:
            tx.factors.add(factor)
            confirmed = tx.factors.confirm(factor.id, now)
        assert confirmed is not None
        return confirmed

    def code(self, app: App, user: User, factor: Factor) -> str:
        raise NotImplementedError

    def secrets(self, app: App, factor: Factor, code: str) -> list[str]:
        return [code]


class TotpAdapter(Adapter):
    def code(self, app: App, user: User, factor: Factor) -> str:
        app.core.world.advance(30)
        return totp.code(self._shared(app, factor), totp.step_at(app.core.world.now()))

    def secrets(self, app: App, factor: Factor, code: str) -> list[str]:
        return [code, totp.readable(self._shared(app, factor)), self._shared(app, factor).hex()]

    def _shared(self, app: App, factor: Factor) -> bytes:
        return totp.secret(app.core.keyring.current, factor.id, factor.nonce)


class SentAdapter(Adapter):
    def code(self, app: App, user: User, factor: Factor) -> str:
        app.core.world.advance(31)
        with app.core.store.write() as tx:
            sent = sendings.send(tx, app.core, factor, user, Cause(ip="192.0.2.1"), locale=None)
        return codes.code(app.core.keyring.current, sent.challenge.id, sent.challenge.sends)


class RecoveryAdapter(Adapter):
    given = 0

    def factor(self, app: App, user: User, number: str = NUMBER) -> Factor:
        batch = Batch(user.id, ids.new(ids.RECOVERY, app.core.world), app.core.keyring.current.kid, app.core.world.now(), 0)
        with app.core.store.write() as tx:
            tx.factors.put_batch(batch)
        return recovery_kind.as_factor(batch)

    def code(self, app: App, user: User, factor: Factor) -> str:
        self.given += 1
        return recovery.code(app.core.keyring.current, factor.id, self.given - 1)

    def secrets(self, app: App, factor: Factor, code: str) -> list[str]:
        known = recovery.codes(app.core.keyring.current, factor.id)
        return known + [one.replace("-", "") for one in known]


ADAPTERS = {"totp": (TotpAdapter, 90), "sms": (SentAdapter, 300), "email": (SentAdapter, 600), "recovery": (RecoveryAdapter, None)}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.type)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    make, seconds = ADAPTERS[request.param.type]
    return make(request.param, seconds)


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world, sms="console:", sms_countries="+49", **UNLIMITED) as app:
        yield app


def person(app: App, email: str = "a@example.com") -> User:
    with app.core.store.write() as tx:
        return insert(tx, app.core, NewUser(parse(email)), None)


@pytest.fixture
def user(app: App) -> User:
    return person(app)


@pytest.fixture
def factor(app: App, user: User, adapter: Adapter) -> Factor:
    return adapter.factor(app, user)


def accepts(app: App, adapter: Adapter, factor: Factor, code: str, keyring: Keyring | None = None) -> bool:
    core = app.core
    with core.store.write() as tx:
        return adapter.kind.accepts(tx, keyring or core.keyring, factor, code, core.world.now())


def test_every_kind_is_in_the_suite() -> None:
    """Each has an adapter, is found by its type, and no type stands twice."""
    assert [kind.type for kind in KINDS] == list(ADAPTERS)
    assert list(BY_TYPE.values()) == list(KINDS)


def test_a_kind_says_what_it_is(adapter: Adapter) -> None:
    """An amr that RFC 8176 knows, and a channel if and only if its codes are sent."""
    assert adapter.kind.amr in ("otp", "sms")
    assert adapter.kind.channel == (adapter.kind.type if adapter.kind.type in ("sms", "email") else None)
    assert adapter.kind.enrols is (adapter.kind.type != "recovery")


def test_a_right_code_counts_once(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """C7: the second time it is refused, and the next code counts again."""
    for _ in range(3):
        code = adapter.code(app, user, factor)
        assert [accepts(app, adapter, factor, code) for _ in range(3)] == [True, False, False]


def test_of_many_uses_at_once_one_counts(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """C10: in twenty threads a code is accepted once."""
    code = adapter.code(app, user, factor)

    assert sorted(together(20, lambda _: accepts(app, adapter, factor, code))) == [False] * 19 + [True]


def test_a_code_is_not_spent_by_a_block_that_is_undone(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """What was right belongs to the same transaction as what it was for."""
    code = adapter.code(app, user, factor)
    with suppress(ZeroDivisionError), app.core.store.write() as tx:
        assert adapter.kind.accepts(tx, app.core.keyring, factor, code, app.core.world.now()) is True
        raise ZeroDivisionError

    assert [accepts(app, adapter, factor, code) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda code: "",
        lambda code: " ",
        lambda code: code[:-1],
        lambda code: code + "0",
        lambda code: code + "\n",
        lambda code: code + "\0",
        lambda code: ("1" if code[0] == "0" else "0") + code[1:],
        lambda code: "".join(chr(ord(char) + 0xFEE0) if char != "-" else char for char in code),
        lambda code: code.translate({ord("0") + n: 0x0660 + n for n in range(10)}) + "\u0660",
        lambda code: "%",
        lambda code: "' OR 1=1 --",
        lambda code: "0" * 10_000,
    ],
    ids=range(12),
)
def test_a_wrong_code_is_wrong(app: App, user: User, adapter: Adapter, factor: Factor, spoil: object) -> None:
    """Whatever it looks like; and the right one counts afterwards."""
    code = adapter.code(app, user, factor)

    assert accepts(app, adapter, factor, spoil(code)) is False
    assert accepts(app, adapter, factor, code) is True


def test_a_code_of_another_factor_is_wrong(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """C9: neither account's code counts for the other, and both still count for their own."""
    other = person(app, "b@example.com")
    theirs = adapter.factor(app, other, "+4915123456780")
    mine, code = adapter.code(app, user, factor), adapter.code(app, other, theirs)

    assert accepts(app, adapter, factor, code) is False
    assert accepts(app, adapter, theirs, mine) is False
    assert accepts(app, adapter, theirs, code) is True


def test_a_code_ends_with_its_time(app: App, world: FakeWorld, user: User, adapter: Adapter, factor: Factor) -> None:
    """Beyond the documented seconds it counts no more; recovery codes have no end."""
    code = adapter.code(app, user, factor)
    world.advance(adapter.seconds if adapter.seconds is not None else 10 * 365 * 86_400)

    assert accepts(app, adapter, factor, code) is (adapter.seconds is None)


def test_without_a_code_sent_or_known_nothing_is_right(app: App, adapter: Adapter, factor: Factor) -> None:
    """A factor that nobody asked a code of accepts none of the likely guesses."""
    assert [accepts(app, adapter, factor, guess) for guess in ("000000", "123456", "00000-00000", "0")] == [False] * 4


def test_a_factor_of_a_key_that_is_gone_accepts_nothing(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """Its owner is refused and can take another factor; nothing breaks."""
    code = adapter.code(app, user, factor)

    assert accepts(app, adapter, factor, code, GONE) is False


def test_the_owner_is_told_the_same_each_time(app: App, user: User, adapter: Adapter, factor: Factor) -> None:
    """Details are derived, not stored; those of sent codes hold no code."""
    code = adapter.code(app, user, factor)
    told = [adapter.kind.details(app.core.keyring, factor, service="Acme", account=user.email) for _ in range(2)]

    assert told[0] == told[1]
    assert (
        set(told[0])
        == {
            "totp": {"secret", "otpauth_uri", "qr_svg"},
            "sms": {"target"},
            "email": {"target"},
            "recovery": {"recovery_codes"},
        }[adapter.kind.type]
    )
    if adapter.kind.channel:
        assert code not in str(told[0])


def test_no_secret_lies_in_the_file(app: App, user: User, adapter: Adapter, factor: Factor, tmp_path: Path) -> None:
    """Before and after its use, no code and no shared secret stands in the database, its log, or the outbox."""
    code = adapter.code(app, user, factor)
    seen = [content(tmp_path)]
    accepts(app, adapter, factor, code)
    seen.append(content(tmp_path))

    assert all(factor.id.encode() in found for found in seen)
    assert [secret for secret in adapter.secrets(app, factor, code) for found in seen if secret.encode() in found] == []


def content(folder: Path) -> bytes:
    return b"".join((folder / name).read_bytes() for name in ("authsvc.db", "authsvc.db-wal"))
