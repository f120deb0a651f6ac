"""Promises of primitives/passwords.py: Argon2id as RFC 9106 says, at one cost for all, within a budget of memory."""

from __future__ import annotations

import os
import queue
import signal
import threading
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2 import low_level as argon2_low_level
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import Type
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.config.settings import Settings
from authsvc.primitives import passwords
from authsvc.primitives.passwords import MAX_BYTES, Cost, Hasher, normalise
from authsvc.problems import Invalid, Problem
from tests.support import FakeWorld

FUZZ = settings(deadline=None)

CHEAP = Cost(memory_kib=64, time=1, parallelism=1)
PASSWORD = "violet-harbour-91"


@pytest.fixture
def hasher(world: FakeWorld) -> Hasher:
    return Hasher(world, CHEAP, budget_mib=64)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were really verified, in order."""
    seen: list[str] = []
    real = argon2_low_level.verify_secret

    def counting(encoded: bytes, *more: Any) -> bool:
        seen.append(encoded.decode())
        return real(encoded, *more)

    monkeypatch.setattr(argon2_low_level, "verify_secret", counting)
    return seen


def test_a_hash_has_the_default_parameters_in_its_phc_string(world: FakeWorld) -> None:
    """By default a hash is Argon2id version 1.3 with 19 MiB, 2 passes, 1 lane, a salt of 16 and a tag of 32 bytes (RFC 9106)."""
    settings = Settings()
    cost = Cost(settings.hash_memory_kib, settings.hash_time, settings.hash_parallelism)
    encoded = Hasher(world, cost, budget_mib=settings.hash_budget_mib).hash(PASSWORD)

    found = extract_parameters(encoded)
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (found.type, found.version, found.salt_len, found.hash_len) == (Type.ID, 19, 16, 32)


@pytest.mark.parametrize("cost", [Cost(64, 1, 1), Cost(128, 3, 2), Cost(256, 1, 8)])
def test_an_independent_hasher_verifies_a_hash(world: FakeWorld, cost: Cost) -> None:
    """argon2-cffi's own PasswordHasher reads our parameters and accepts the right password only."""
    encoded = Hasher(world, cost, budget_mib=64).hash(PASSWORD)
    independent = PasswordHasher()

    assert independent.verify(encoded, PASSWORD)
    with pytest.raises(VerifyMismatchError):
        independent.verify(encoded, PASSWORD + " ")
    found = extract_parameters(encoded)
    assert (cost.memory_kib, cost.time, cost.parallelism) == (found.memory_cost, found.time_cost, found.parallelism)


def test_a_hash_of_an_independent_hasher_is_verified(hasher: Hasher) -> None:
    """A hash made elsewhere is checked by its own parameters, whatever ours are today."""
    encoded = PasswordHasher(time_cost=2, memory_cost=256, parallelism=4, hash_len=24, salt_len=8).hash(PASSWORD)

    assert hasher.verify(encoded, PASSWORD)
    assert not hasher.verify(encoded, PASSWORD.upper())


@FUZZ
@given(right=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20), data=st.data())
def test_only_the_same_password_passes(right: str, data: st.DataObject) -> None:
    """Whatever the password is, it passes, and a different one does not."""
    hasher = Hasher(FakeWorld(), Cost(8, 1, 1), budget_mib=64)
    encoded = hasher.hash(normalise(right))
    wrong = data.draw(
        st.one_of(st.text(max_size=20, alphabet=st.characters(exclude_categories=["Cs"])), st.just(right[:-1] + " " + right[-1]))
    )

    assert hasher.verify(encoded, normalise(right))
    assert hasher.verify(encoded, wrong) is (wrong == normalise(right))


def test_equal_passwords_have_different_hashes(hasher: Hasher) -> None:
    """Each hash has a salt of its own, so equal passwords cannot be seen in the database."""
    made = [hasher.hash(PASSWORD) for _ in range(30)]

    assert len({encoded.split("$")[4] for encoded in made}) == len({encoded.split("$")[5] for encoded in made}) == 30
    assert not any(PASSWORD in encoded for encoded in made)


def test_without_a_hash_the_same_work_is_done_and_nothing_passes(hasher: Hasher, verified: list[str]) -> None:
    """An unknown account costs one real verification with the same parameters, and no password is right (ATTACKS A2)."""
    encoded = hasher.hash(PASSWORD)
    assert not hasher.verify(encoded, "another-harbour-91")
    assert not hasher.verify(None, "another-harbour-91")
    assert not hasher.verify(None, "")

    real, *decoys = verified
    assert real == encoded
    assert len(decoys) == 2
    for decoy in decoys:
        assert extract_parameters(real) == extract_parameters(decoy)
        assert decoy != real


def test_no_password_opens_the_decoy(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a password that matched the decoy's hash would not be right: there is no account behind it."""
    monkeypatch.setattr(argon2_low_level, "verify_secret", lambda *_: True)

    assert hasher.verify(None, PASSWORD) is False
    assert hasher.verify("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaA", PASSWORD) is True


def test_the_decoy_is_of_chance(world: FakeWorld, verified: list[str]) -> None:
    """Every process has another decoy, so none can be recognised or prepared for."""
    for _ in range(5):
        Hasher(world, CHEAP, budget_mib=64).verify(None, PASSWORD)

    assert len(set(verified)) == 5


@pytest.mark.parametrize("made", [Cost(64, 1, 1), Cost(128, 1, 1), Cost(64, 2, 1), Cost(64, 1, 2), Cost(640, 1, 1), Cost(64, 11, 1)])
def test_a_hash_of_other_parameters_is_stale(world: FakeWorld, hasher: Hasher, made: Cost) -> None:
    """A hash that was not made with today's parameters is to be made anew; one that was is not."""
    encoded = Hasher(world, made, budget_mib=64).hash(PASSWORD)

    assert hasher.is_stale(encoded) is (made != CHEAP)
    assert hasher.verify(encoded, PASSWORD), "stale is not wrong"


def test_a_hash_of_another_kind_is_stale(hasher: Hasher) -> None:
    """Argon2i and Argon2d hashes, which RFC 9106 does not recommend for passwords, are replaced."""
    for kind in (Type.I, Type.D):
        encoded = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=kind).hash(PASSWORD)
        assert hasher.is_stale(encoded)


@pytest.mark.parametrize(
    ("budget_mib", "memory_kib", "processors", "slots"),
    [
        (64, 19_456, 64, 3),
        (64, 19_456, 2, 2),
        (64, 19_456, None, 1),
        (64, 65_536, 64, 1),
        (64, 65_537, 64, 1),
        (64, 32_768, 64, 2),
        (64, 32_769, 64, 1),
        (1, 64, 64, 16),
        (1, 64, 4, 4),
        (1_024, 1_024, 1, 1),
    ],
)
def test_as_many_hashes_run_at_once_as_the_budget_holds(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch, budget_mib: int, memory_kib: int, processors: int | None, slots: int
) -> None:
    """Slots are the budget divided by the memory of one hash, no more than there are processors, and at least one."""
    monkeypatch.setattr(os, "cpu_count", lambda: processors)

    hasher = Hasher(world, Cost(memory_kib, 1, 1), budget_mib=budget_mib)

    assert slots == hasher.slots
    assert slots + 16 == hasher.admitted
    assert slots == 1 or slots * memory_kib <= budget_mib * 1024


@pytest.mark.parametrize("act", [lambda hasher: hasher.verify(None, PASSWORD), lambda hasher: hasher.hash(PASSWORD)])
def test_a_flood_is_told_to_come_back_and_never_exceeds_the_budget(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch, act: Callable[[Hasher], Any]
) -> None:
    """`slots` run, a short queue waits, everybody else gets `busy` at once; when it is over all slots are free (ATTACKS A7)."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(passwords, "QUEUE_SECONDS", 60.0)
    hasher = Hasher(world, CHEAP, budget_mib=64)
    gate, lock, entered = threading.Event(), threading.Lock(), threading.Semaphore(0)
    running: list[int] = [0]
    most: list[int] = [0]

    def slow(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*values: Any, **options: Any) -> Any:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            entered.release()
            assert gate.wait(60)
            with lock:
                running[0] -= 1
            return real(*values, **options)

        return wrapped

    for name in ("verify_secret", "hash_secret"):
        monkeypatch.setattr(argon2_low_level, name, slow(getattr(argon2_low_level, name)))
    outcomes: queue.Queue[Problem | None] = queue.Queue()

    def call() -> None:
        try:
            act(hasher)
        except Problem as problem:
            outcomes.put(problem)
        else:
            outcomes.put(None)

    threads = [threading.Thread(target=call) for _ in range(hasher.admitted + 7)]
    for thread in threads:
        thread.start()
    turned_away = [outcomes.get(timeout=60) for _ in range(7)]
    for _ in range(hasher.slots):
        assert entered.acquire(timeout=60)
    assert outcomes.empty()
    gate.set()
    for thread in threads:
        thread.join(60)

    assert [(problem.code, problem.status, problem.retry_after) for problem in turned_away if problem] == [("busy", 503, 1)] * 7
    assert [None] * hasher.admitted == [outcomes.get_nowait() for _ in range(hasher.admitted)]
    assert hasher.slots == most[0] == 2
    act(hasher)


def test_who_waits_too_long_is_told_to_come_back(world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place in the queue is not for ever: after QUEUE_SECONDS the answer is `busy`, and the place is given back."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(passwords, "QUEUE_SECONDS", 0.0)
    hasher = Hasher(world, CHEAP, budget_mib=64)
    gate, entered = threading.Event(), threading.Event()
    reasons: list[str | None] = []

    def hold_the_slot(*_: Any) -> bool:
        entered.set()
        return gate.wait(60)

    def keep_asking() -> None:
        for _ in range(40):
            try:
                hasher.hash(PASSWORD)
            except Problem as problem:
                reasons.append(problem.reason if problem.code == "busy" else problem.code)

    monkeypatch.setattr(argon2_low_level, "verify_secret", hold_the_slot)
    holder, others = threading.Thread(target=hasher.verify, args=(None, PASSWORD)), threading.Thread(target=keep_asking)
    holder.start()
    try:
        assert entered.wait(60)
        others.start()
        others.join(30)
        assert reasons == ["waited too long for password hashing"] * 40, "the queue never filled up"
    finally:
        gate.set()
        holder.join(60)
        others.join(60)
    assert hasher.hash(PASSWORD)


def test_a_slot_is_given_back_after_an_error(world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that cannot be read fails, and takes no slot with it."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(passwords, "QUEUE_SECONDS", 0.0)
    hasher = Hasher(world, CHEAP, budget_mib=64)

    for _ in range(hasher.admitted + 5):
        with pytest.raises(Exception, match=r"(?i)decod|invalid|encod"):
            hasher.verify(hasher._parameters() + "nonsense", PASSWORD)

    assert hasher.verify(hasher.hash(PASSWORD), PASSWORD)


@pytest.mark.parametrize("act", [lambda hasher: hasher.verify(None, PASSWORD), lambda hasher: hasher.hash(PASSWORD)])
def test_the_world_hears_of_every_hash_beforehand(act: Callable[[Hasher], Any]) -> None:
    """Hashing is announced as slow, so that a test's world can refuse it inside a write block."""
    told: list[str] = []
    world = FakeWorld()
    world.slow = told.append  # type: ignore[method-assign]

    act(Hasher(world, CHEAP, budget_mib=64))

    assert told == ["password hashing"]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("password", "password"),
        (" two  spaces ", " two  spaces "),
        ("cafe\u0301", "café"),
        ("café", "café"),
        ("\u212b", "Å"),
        ("한국", "한국"),
        ("a\nb\tc", "a\nb\tc"),
        ("🔑" * 256, "🔑" * 256),
        ("x" * 1_024, "x" * 1_024),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_password_has_one_spelling(text: str, normal: str) -> None:
    """NFC and nothing else: keyboards differ in how they compose, and every other difference is the owner's (ATTACKS A8)."""
    assert normal == normalise(text)


def test_compatibility_forms_stay_different() -> None:
    """NFC, not NFKC: a full-width letter is another character and stays so."""
    assert normalise("ｐass") == "ｐass"
    assert normalise("ﬁre") == "ﬁre"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x" * 1_025, "too_long"),
        ("é" * 513, "too_long"),
        ("🔑" * 257, "too_long"),
        ("\u0958" * 171, "too_long"),
        ("x" * 1_048_576, "too_long"),
        ("\0", "invalid"),
        ("pass\0word", "invalid"),
        ("password\0", "invalid"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_password_that_is_too_long_or_has_a_nul_is_invalid(text: str, code: str) -> None:
    """1,024 bytes after normalisation are the most, counted in UTF-8; NUL ends a text for some software (ATTACKS A6)."""
    with pytest.raises(Invalid) as caught:
        normalise(text)
    assert code == caught.value.code
    assert text not in caught.value.detail


@pytest.mark.parametrize("text", ["\ud800", "pass\udcffword", "\udfff" * 300], ids=["one", "within", "many"])
def test_a_password_that_is_not_unicode_is_invalid(text: str) -> None:
    """A lone surrogate, which no UTF-8 can hold, is refused before any hashing (ATTACKS A6)."""
    with pytest.raises(Invalid) as caught:
        normalise(text)
    assert caught.value.code in ("invalid", "too_long")


@FUZZ
@given(st.text(st.characters(), max_size=40) | st.text(st.sampled_from("e\u0301\u0958\u1100\u1161\0🔑\ud800\udc00a"), max_size=700))
def test_any_text_is_normal_or_invalid(text: str) -> None:
    """Whatever is sent becomes a text that can be hashed and is its own normal form, or is Invalid."""
    try:
        normal = normalise(text)
    except Invalid:
        return

    assert unicodedata.is_normalized("NFC", normal)
    assert normal == normalise(normal)
    assert len(normal.encode()) <= MAX_BYTES
    assert "\0" not in normal
    assert unicodedata.normalize("NFD", normal) == unicodedata.normalize("NFD", text), "nothing but the spelling changed"


def test_a_child_of_a_fork_has_all_slots_though_its_parent_was_hashing(world: FakeWorld) -> None:
    """What the parent's threads hold at the fork, places in the queue included, is free in the child."""
    hasher = Hasher(world, CHEAP, budget_mib=64)
    with ExitStack() as held:
        for places in (hasher._admitted, hasher._running):
            while places.acquire(blocking=False):
                held.callback(places.release)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads, if another test left one
            pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                os._exit(0 if hasher.verify(hasher.hash(PASSWORD), PASSWORD) else 1)
            except BaseException:  # noqa: BLE001 - told to the parent
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
    assert hasher.verify(hasher.hash(PASSWORD), PASSWORD)
