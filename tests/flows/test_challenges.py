"""Links and codes in the flows: what asking writes, what finding believes, and what checking a code leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.events import Cause
from authsvc.flows import challenges
from authsvc.primitives import codes, emails, links
from authsvc.problems import Problem
from authsvc.rules.challenges import KINDS, MAGIC, RESET, SET_PASSWORD, VERIFY, Kind
from authsvc.store.challenges import Challenge
from tests.letterbox import NO_MAIL_LIMITS, counts, letters, magic_link, rows, use
from tests.support import EMAIL, Client, FakeWorld, event_rows, running

FROM = Cause(ip="192.0.2.9", user_agent="curl/8", request_id="r1")
OLD_KEY, NEW_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def ask(app: App, kind: Kind = MAGIC, letter: str = "magic", email: str = EMAIL, **data: Any) -> Challenge:
    with app.core.store.write() as tx:
        parsed = emails.parse(email)
        return challenges.ask(tx, app.core, kind, letter, parsed, tx.users.by_email(parsed.key), FROM, locale="de", **data)


def token(app: App, challenge: Challenge, purpose: str | None = None) -> str:
    return links.mint(app.core.keyring.current, challenge.id, purpose or challenge.purpose)


def code_of(app: App, challenge: Challenge) -> str:
    return codes.code(app.core.keyring.current, challenge.id, challenge.sends)


def refusal(app: App, challenge_id: str, code: str) -> str:
    with pytest.raises(Problem) as caught:
        challenges.check_code(app.core, challenge_id, code, FROM)
    return caught.value.code


@pytest.mark.parametrize("known", [True, False])
def test_asking_writes_a_challenge_and_a_letter(app: App, world: FakeWorld, known: bool) -> None:
    """One row each, whether or not there is an account; what was noted comes back."""
    user = Client(app).register()["user"] if known else {"id": None}
    challenge = ask(app, create_user=True, redirect_to=None)
    (row,) = rows(app, "SELECT * FROM challenges")
    assert row == challenge._asdict()
    assert (row["user_id"], row["sends"], row["attempts"], row["used_at"]) == (user["id"], 1, 0, None)
    assert row["expires_at"] == world.now() + 600_000
    assert challenges.data_of(challenge) == {"create_user": True, "redirect_to": None}
    (message,) = rows(app, "SELECT * FROM outbox")
    assert (message["ref"], message["user_id"], message["kind"], message["target"]) == (challenge.id, user["id"], "mail", EMAIL)
    assert json.loads(message["payload"]) == {"letter": "magic", "to": EMAIL, "locale": "de", "facts": {}}


def test_nothing_that_lies_anywhere_is_usable(app: App) -> None:
    """Not in the challenge, the outbox or the audit: neither link nor code nor binding (contract section 7.1)."""
    challenge = ask(app)
    secrets = [token(app, challenge).partition(".")[2], challenges.binding(app.core, challenge).partition(".")[2]]
    kept = repr([rows(app, f"SELECT * FROM {table}") for table in ("challenges", "outbox", "events", "buckets")])
    assert not any(secret in kept for secret in secrets)


def test_a_newer_one_ends_the_older_and_no_other(app: App) -> None:
    """Of one address and purpose the last counts; a link to set a first password and one to reset it go side by side."""
    first, second = ask(app), ask(app)
    aside = [ask(app, RESET, "reset"), ask(app, SET_PASSWORD, "set_password"), ask(app, email="other@mail.com"), ask(app, VERIFY, "verify")]
    open_ids = {row["id"] for row in rows(app, "SELECT id FROM challenges WHERE used_at IS NULL")}
    assert open_ids == {second.id, *(challenge.id for challenge in aside)}
    assert first.id not in open_ids


def test_over_the_limit_of_an_address_nothing_is_sent_and_older_ones_count(tmp_path: Path, world: FakeWorld) -> None:
    """There is a row as always, the refusal is on record, and the one that was mailed goes on; other addresses are untouched."""
    with running(tmp_path, world, **(NO_MAIL_LIMITS | {"limit_mail_address": "1/3600s"})) as app:
        sent, unsent = ask(app), ask(app)
        ask(app, email="other@mail.com")
        assert letters(app) == [("magic", EMAIL), ("magic", "other@mail.com")]
        assert challenges.find(app.core, token(app, sent), MAGIC) == sent
        assert {sent.id, unsent.id} < {row["id"] for row in rows(app, "SELECT id FROM challenges WHERE used_at IS NULL")}
        (event,) = event_rows(app)
        assert (event["action"], event["outcome"], event["data"]) == ("limit.hit", "failure", '{"limit":"mail_address"}')
        world.advance(3_600)
        ask(app)
        assert len(letters(app)) == 3


def test_a_limit_of_none_is_never_reached(tmp_path: Path) -> None:
    """`0` turns it off."""
    with running(tmp_path, **NO_MAIL_LIMITS) as app:
        for _ in range(12):
            ask(app)
        assert len(letters(app)) == 12


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.path], ids=lambda kind: kind.purpose)
def test_finding_believes_a_genuine_open_link_of_the_wanted_kind(app: App, world: FakeWorld, kind: Kind) -> None:
    """It spends nothing; another kind, another purpose's token, its end or its use is link_invalid."""
    challenge = ask(app, kind, "verify")
    others = [other for other in KINDS.values() if other != kind]
    good = token(app, challenge)
    before = counts(app, "challenges", "events", "outbox")
    assert challenges.find(app.core, good, *KINDS.values()) == challenge
    assert challenges.find(app.core, good, kind) == challenge
    refused = [(good, others)] + [(token(app, challenge, other.purpose), [kind, other]) for other in others]
    world_end = kind.seconds
    for text, kinds in refused:
        with pytest.raises(Problem, match="Link no longer valid"):
            challenges.find(app.core, text, *kinds)
    world.advance(world_end)
    with pytest.raises(Problem) as caught:
        challenges.find(app.core, good, kind)
    assert caught.value.code == "link_invalid"
    assert counts(app, "challenges", "events", "outbox") == before


def test_a_link_outlives_a_new_secret_key_as_long_as_the_old_one_is_kept(tmp_path: Path, world: FakeWorld) -> None:
    """After a rotation a mailed link still works; once its key is gone it is no longer valid, and neither is an error."""
    with running(tmp_path, world, secret_key=OLD_KEY) as app:
        paths = [magic_link(app, f"a{number}@mail.com") for number in range(2)]
    with running(tmp_path, world, secret_key=NEW_KEY, secret_key_previous=OLD_KEY) as app:
        assert use(app, paths[0]).status == 200
        challenge = ask(app)
        assert challenge.kid == app.core.keyring.current.kid
    with running(tmp_path, world, secret_key=NEW_KEY) as app:
        answer = use(app, paths[1])
        assert (answer.status, answer.code) == (410, "link_invalid")
        (old,) = rows(app, "SELECT id FROM challenges WHERE target = 'a1@mail.com'")
        assert refusal(app, old["id"], "123456") == "code_invalid"


def test_a_right_code_gives_its_challenge(app: App) -> None:
    """Once compared it is counted, and nothing is on record but what the caller then does."""
    challenge = ask(app)
    found = challenges.check_code(app.core, challenge.id, code_of(app, challenge), FROM)
    assert found == challenge._replace(attempts=1)
    assert event_rows(app) == []


def test_a_wrong_code_is_on_record(app: App) -> None:
    """Whose it is, from where, why, and not which code."""
    user_id = Client(app).register()["user"]["id"]
    challenge = ask(app)
    wrong = f"{(int(code_of(app, challenge)) + 1) % 1_000_000:06}"
    assert refusal(app, challenge.id, wrong) == "code_invalid"
    event = event_rows(app)[-1]
    assert (event["action"], event["outcome"], event["subject"], event["actor_label"]) == ("otp.failed", "failure", user_id, EMAIL)
    assert (event["ip"], json.loads(event["data"])) == ("192.0.2.9", {"challenge_id": challenge.id, "reason": "code_invalid"})


@pytest.mark.parametrize("kind", [RESET, SET_PASSWORD, KINDS["taken"], KINDS["email_undo"]], ids=lambda kind: kind.purpose)
def test_what_has_no_code_refuses_the_one_that_could_be_derived(app: App, kind: Kind) -> None:
    """No code of a kind that mails none is right."""
    challenge = ask(app, kind, "reset")
    assert refusal(app, challenge.id, code_of(app, challenge)) == "code_invalid"


def test_the_refusals_of_a_code_are_told_apart(app: App, world: FakeWorld) -> None:
    """Unknown, wrong, too often, over: each has its code, and each leaves one event."""
    assert refusal(app, "chl_" + "0" * 26, "123456") == "code_invalid"
    challenge = ask(app)
    right = code_of(app, challenge)
    told = [refusal(app, challenge.id, "x") for _ in range(5)]
    told.append(refusal(app, challenge.id, right))
    world.advance(600)
    told.append(refusal(app, challenge.id, right))
    assert told == ["code_invalid"] * 5 + ["too_many_attempts", "code_expired"]
    assert len(event_rows(app)) == 8


def test_a_code_is_bound_to_its_sending(app: App) -> None:
    """Only the last one sent is right."""
    challenge = ask(app)
    import sqlite3

    with sqlite3.connect(app.core.store.path) as connection:
        connection.execute("UPDATE challenges SET sends = 2")
    connection.close()
    assert refusal(app, challenge.id, code_of(app, challenge)) == "code_invalid"
    newer = challenge._replace(sends=2)
    assert challenges.check_code(app.core, challenge.id, code_of(app, newer), FROM).sends == 2


def test_a_browser_is_bound_to_what_it_asked_for(app: App) -> None:
    """Its cookie fits its challenge; none, another's and the link's own token do not."""
    mine, other = ask(app), ask(app, email="other@mail.com")
    cookie = challenges.binding(app.core, mine)
    assert challenges.is_bound(app.core, mine, cookie)
    for wrong in (None, "", challenges.binding(app.core, other), token(app, mine), cookie + "A"):
        assert not challenges.is_bound(app.core, mine, wrong)
