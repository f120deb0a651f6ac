"""Promises of primitives/ids.py: ids that sort by time and never meet, and passwords that can be read aloud."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.primitives import ids
from tests.support import FakeWorld

FUZZ = settings(deadline=None)

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS = 80


class DiceWorld(FakeWorld):
    """A world whose chance is loaded: the 80 bits of an id are this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def random_bytes(self, count: int) -> bytes:
        assert count == RANDOM_BITS // 8
        return self._number.to_bytes(count, "big")


class StreamWorld(FakeWorld):
    """A world whose chance is a stream of 32 bytes, drawn from as it is asked for."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._stream = io.BytesIO(number.to_bytes(32, "big"))

    def random_bytes(self, count: int) -> bytes:
        drawn = self._stream.read(count)
        assert len(drawn) == count, "more chance than the test foresaw"
        return drawn


def number_of(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 32 + CROCKFORD.index(digit)
    return value


@FUZZ
@given(times=st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=8), chance=st.integers(0, 2**RANDOM_BITS - 1))
def test_ids_sort_as_the_time_does(times: list[int], chance: int) -> None:
    """An id that was made in a later millisecond sorts after an earlier one, whatever chance adds to it."""
    made = []
    for at in sorted(set(times)):
        world = DiceWorld(chance ^ (2**RANDOM_BITS - 1) * (len(made) % 2))
        world.time = at
        made.append(ids.new(ids.USER, world))

    assert made == sorted(made)


def test_an_id_is_its_prefix_48_bits_of_time_and_80_of_chance() -> None:
    """The time and the chance of an id stand in it whole, so nothing of either is thrown away."""
    chance = 0x0123456789ABCDEF0123
    world = DiceWorld(chance)

    prefix, digits = ids.new(ids.SESSION, world).split("_")

    assert prefix == "ses"
    assert len(digits) == 26
    assert number_of(digits) == world.now() << RANDOM_BITS | chance


def test_no_two_ids_are_equal() -> None:
    """Ids made in the very same millisecond differ, by 80 bits of the operating system's chance."""
    world = FakeWorld()
    made = [ids.new(ids.EVENT, world) for _ in range(20_000)]

    assert len(made) == len(set(made))
    assert len({text[:14] for text in made}) == 1, "one millisecond gives one beginning"
    assert len({text[14:22] for text in made}) > 19_900, "chance is in every part of the rest"


def test_what_is_made_has_the_form_of_an_id_of_its_kind_only() -> None:
    """is_id accepts each kind's own ids, and no other kind's."""
    world = FakeWorld()
    kinds = (ids.USER, ids.SESSION, ids.EVENT)
    for kind in kinds:
        text = ids.new(kind, world)
        assert [ids.is_id(text, other) for other in kinds] == [other == kind for other in kinds]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "usr",
        "usr_",
        "usr_0123456789abcdefghjkmnpqr",
        "usr_0123456789abcdefghjkmnpqrst",
        "usr_0123456789ABCDEFGHJKMNPQRS",
        "usr_0123456789abcdefghjkmnpqri",
        "usr_0123456789abcdefghjkmnpqrl",
        "usr_0123456789abcdefghjkmnpqro",
        "usr_0123456789abcdefghjkmnpqru",
        "USR_0123456789abcdefghjkmnpqrs",
        " usr_0123456789abcdefghjkmnpqrs",
        "usr_0123456789abcdefghjkmnpqrs\n",
        "usr_0123456789abcdefghjkmnpq\0s",
        "usr_٠123456789abcdefghjkmnpqrs",
        "usrx_0123456789abcdefghjkmnpqrs",
        "usr-0123456789abcdefghjkmnpqrs",
        "xusr_0123456789abcdefghjkmnpqrs",
        "ses_0123456789abcdefghjkmnpqrs",
        "usr_../../../../etc/passwd0000",
        "usr_%' OR 1=1 -- 00000000000000",
    ],
)
def test_what_was_never_made_is_no_id(text: str) -> None:
    """Another length, case, alphabet or kind is not an id, and neither is anything around one."""
    assert ids.is_id("usr_0123456789abcdefghjkmnpqrs", "usr")
    assert not ids.is_id(text, "usr")


@FUZZ
@given(st.text(max_size=40))
def test_any_text_is_an_id_or_not(text: str) -> None:
    """Hostile text never breaks the check."""
    assert ids.is_id(text, ids.USER) is False
    assert ids.is_id(f"usr_{text}", ids.USER) is (len(text) == 26 and set(text) <= set(CROCKFORD))


def test_a_readable_secret_is_twenty_characters_in_four_groups() -> None:
    """A generated password is read aloud in groups of five, without the letters that are taken for others."""
    groups = ids.readable_secret(FakeWorld()).split("-")

    assert [len(group) for group in groups] == [5, 5, 5, 5]
    assert set("".join(groups)) <= set(CROCKFORD)
    assert not set(CROCKFORD) & set("ilou")


def test_a_readable_secret_holds_a_hundred_bits_of_chance() -> None:
    """Of the random bits that are drawn at least 100 are in the secret: changing any of them gives another one."""
    drawn = 8 * 32
    base = ids.readable_secret(StreamWorld(0))
    changed = {ids.readable_secret(StreamWorld(1 << bit)) for bit in range(drawn)} - {base}

    assert len(changed) >= 100


def test_readable_secrets_use_the_whole_alphabet_in_every_place() -> None:
    """Each of the 20 characters may be any of the 32 letters, and no two secrets are equal."""
    world = FakeWorld()
    made = [ids.readable_secret(world).replace("-", "") for _ in range(2_000)]

    assert len(made) == len(set(made))
    assert [set(CROCKFORD)] * 20 == [set(column) for column in zip(*made, strict=True)]
