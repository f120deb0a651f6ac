"""Promises of flows/texts.py: no SMS beyond what may be spent, nobody can tell from the answer, and the breaker stops pumping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from authsvc.config.limits import LIMITS as DECLARED
from authsvc.flows.texts import LIMITS
from authsvc.primitives import codes
from authsvc.rules import phones
from authsvc.store.outbox import Message
from tests.support import EMAIL, PASSWORD, START, Answer, Client, FakeWorld, event_rows, running, together

NUMBER = "+4915123456789"
SAME_RANGE = "+4915129999999"
OTHER_RANGE = "+4917123456789"
HERE, NEIGHBOUR, ELSEWHERE = "192.0.2.1", "192.0.2.77", "198.51.100.1"
TODAY = START // 86_400_000
FREE = {f"limit_{name}": "0" for name in (*LIMITS, "mail_network", "mail_address", "link")}

# For each limit of one SMS: what shares the first one's bucket, and what does not.
SHARED = {
    "sms_pace": ((NUMBER, ELSEWHERE), (SAME_RANGE, HERE)),
    "sms_number": ((NUMBER, ELSEWHERE), (SAME_RANGE, HERE)),
    "sms_number_day": ((NUMBER, ELSEWHERE), (SAME_RANGE, HERE)),
    "sms_network": ((OTHER_RANGE, NEIGHBOUR), (SAME_RANGE, ELSEWHERE)),
    "sms_prefix": ((SAME_RANGE, ELSEWHERE), (OTHER_RANGE, HERE)),
    "sms_day": ((OTHER_RANGE, ELSEWHERE), None),
}


@contextmanager
def service(folder: Path, **settings: Any) -> Iterator[App]:
    with running(folder, FakeWorld(), **{"sms": "console:", "sms_countries": "+49", **FREE, **settings}) as app:
        yield app


@pytest.fixture
def free(tmp_path: Path) -> Iterator[App]:
    with service(tmp_path) as app:
        yield app


def ask(app: App, number: str = NUMBER, ip: str = HERE) -> Answer:
    return Client(app, ip=ip).post("/otp/send", {"phone_number": number})


def queued(app: App) -> list[Message]:
    with app.core.store.read() as tx:
        return [row for row in tx.outbox.page(after="", limit=500, everything=True) if row.kind == "sms"]


def refusals(app: App) -> list[str]:
    """The limits that were hit, oldest first."""
    return [json.loads(row["data"])["limit"] for row in event_rows(app) if row["action"] == "limit.hit"]


def alike(answer: Answer) -> tuple[object, ...]:
    """All of an answer that does not differ between any two that were sent."""
    assert 0 < answer["expires_in"] <= 300
    varies = ("challenge_id", "expires_in")
    names = sorted(name.lower() for name, _ in answer.headers)
    return answer.status, names, sorted(answer.json()), {name: value for name, value in answer.json().items() if name not in varies}


def code_of(app: App, challenge_id: str) -> str:
    with app.core.store.read() as tx:
        challenge = tx.challenges.get(challenge_id)
    assert challenge is not None
    return codes.code(app.core.keyring.current, challenge.id, challenge.sends)


def counted(app: App, number: str = NUMBER) -> tuple[int, int]:
    with app.core.store.read() as tx:
        return tx.sms_counts.of(app.core.world.now() // 86_400_000, phones.prefix(number))


def note(app: App, number: str = NUMBER, **counts: int) -> None:
    with app.core.store.write() as tx:
        tx.sms_counts.note(app.core.world.now() // 86_400_000, phones.prefix(number), **counts)


def test_every_sms_limit_is_tried_here() -> None:
    """The table covers all that texts.py charges, which is all that is declared."""
    assert set(SHARED) == set(LIMITS) == {name for name in DECLARED if name.startswith("sms_")}


@pytest.mark.parametrize("name", SHARED)
def test_over_a_limit_the_answer_is_the_same_and_nothing_is_sent(tmp_path: Path, name: str) -> None:
    """C12: 202 as ever, one limit.hit row with its name, and no row in the outbox."""
    (number, ip), _ = SHARED[name]
    with service(tmp_path, **{f"limit_{name}": "1/86400s"}) as app:
        first = ask(app)
        app.core.world.advance(31)
        second = ask(app, number, ip)

        assert first.status == 202
        assert alike(second) == alike(first)
        assert [row.target for row in queued(app)] == [NUMBER]
        assert refusals(app) == [name]
        hit = next(row for row in event_rows(app) if row["action"] == "limit.hit")
        assert (hit["outcome"], number in hit["data"]) == ("failure", False)


@pytest.mark.parametrize("name", [name for name, (_, free) in SHARED.items() if free])
def test_a_limit_touches_nobody_else(tmp_path: Path, name: str) -> None:
    """What does not share the bucket is sent."""
    _, other = SHARED[name]
    assert other is not None
    with service(tmp_path, **{f"limit_{name}": "1/86400s"}) as app:
        ask(app)
        app.core.world.advance(31)
        ask(app, *other)

        assert [row.target for row in queued(app)] == [NUMBER, other[0]]
        assert refusals(app) == []


@pytest.mark.parametrize("name", SHARED)
def test_a_limit_is_over_in_time(tmp_path: Path, name: str) -> None:
    """After its seconds the next one goes out."""
    (number, ip), _ = SHARED[name]
    with service(tmp_path, **{f"limit_{name}": "1/3600s"}) as app:
        ask(app)
        app.core.world.advance(3600)
        ask(app, number, ip)
        assert (len(queued(app)), refusals(app)) == (2, [])


def test_what_is_refused_costs_nothing_dearer(tmp_path: Path) -> None:
    """A number that is over its limit uses nothing up of its range or of the day."""
    with service(tmp_path, limit_sms_number="1/86400s", limit_sms_prefix="2/86400s", limit_sms_day="2/86400s") as app:
        for _ in range(5):
            ask(app)
            app.core.world.advance(31)
        ask(app, SAME_RANGE)
        assert [row.target for row in queued(app)] == [NUMBER, SAME_RANGE]
        assert refusals(app) == ["sms_number"] * 4


def test_the_defaults_bound_the_bill(tmp_path: Path) -> None:
    """Five an hour and ten a day to one number, however often somebody asks from everywhere."""
    with running(tmp_path, FakeWorld(), sms="console:", sms_countries="+49", limit_mail_network="0", limit_sms_network="0") as app:
        for turn in range(20):
            assert ask(app, ip=f"198.51.{turn}.1").status == 202
            app.core.world.advance(31)
        in_an_hour = len(queued(app))
        for turn in range(60):
            app.core.world.advance(900)
            ask(app, ip=f"203.0.{turn}.1")

        assert in_an_hour in (5, 6)  # a token comes back while the ten minutes pass
        assert in_an_hour < len(queued(app)) <= 17
        assert set(refusals(app)) == {"sms_number", "sms_number_day"}


def test_in_many_threads_a_limit_holds(tmp_path: Path) -> None:
    """Twenty numbers at once, three tokens: three SMS."""
    with service(tmp_path, limit_sms_day="3/86400s") as app:
        answers = together(20, lambda turn: ask(app, f"+49151234567{turn:02}").status)
        assert answers == [202] * 20
        assert len(queued(app)) == 3
        assert refusals(app) == ["sms_day"] * 17


@pytest.mark.parametrize(
    ("sent", "verified", "goes"), [(0, 0, True), (49, 0, True), (50, 4, False), (50, 5, True), (200, 19, False), (200, 20, True)]
)
def test_the_breaker_stops_a_range_whose_codes_are_not_used(free: App, sent: int, verified: int, goes: bool) -> None:
    """Of 50 or more codes of a day fewer than a tenth used: no more go there, the answer stays the same."""
    usual = alike(ask(free, OTHER_RANGE))
    note(free, sent=sent, verified=verified)

    assert alike(ask(free)) == usual
    assert sorted(row.target for row in queued(free)) == [*[NUMBER] * goes, OTHER_RANGE]
    assert refusals(free) == ([] if goes else ["sms_breaker"])


def test_the_breaker_stops_one_range_for_one_day(free: App) -> None:
    """Other ranges go on, and so does this one tomorrow."""
    note(free, sent=50)
    ask(free)
    ask(free, OTHER_RANGE)
    free.core.world.advance(86_400)
    ask(free)

    assert sorted(row.target for row in queued(free)) == [NUMBER, OTHER_RANGE]
    assert refusals(free) == ["sms_breaker"]


def test_a_code_that_signs_in_is_counted_as_used(free: App) -> None:
    """Sent when it is put into the outbox, used when it comes back, and once only."""
    sent = ask(free)
    assert counted(free) == (1, 0)
    body = {"challenge_id": sent["challenge_id"], "code": code_of(free, sent["challenge_id"])}

    first, second = (Client(free).post("/otp/verify", body).status for _ in range(2))
    assert (first, 400 <= second < 500) == (200, True)
    assert counted(free) == (1, 1)


def enrolled(app: App) -> Client:
    """Somebody whose second factor is their number."""
    client = Client(app)
    token = client.register()["access_token"]
    made = client.post("/mfa/setup", {"type": "sms", "phone_number": NUMBER}, token=token)
    confirmed = client.post("/mfa/verify", {"factor_id": made["factor_id"], "code": code_of(app, made["challenge_id"])}, token=token)
    assert confirmed.status == 200, confirmed.body
    return client


def second_step(app: App, client: Client) -> Answer:
    waiting = client.login(EMAIL, PASSWORD)
    assert waiting.code == "mfa_required"
    app.core.world.advance(31)
    sent = client.post("/otp/send", {"mfa_token": waiting["mfa_token"]})
    assert sent.status == 202, sent.body
    return client.post("/mfa/verify", {"mfa_token": waiting["mfa_token"], "code": code_of(app, sent["challenge_id"])})


def test_a_code_that_adds_a_factor_is_counted_as_used(free: App) -> None:
    """Its number was proved."""
    enrolled(free)
    assert counted(free) == (1, 1)


def test_a_code_that_completes_a_sign_in_is_counted_as_used(free: App) -> None:
    """C12: or the breaker would lock out a range whose people use SMS as their second step."""
    client = enrolled(free)
    assert second_step(free, client).status == 200
    assert counted(free) == (2, 2)


def test_a_code_that_renews_a_session_is_counted_as_used(free: App) -> None:
    """The same for /reauthenticate."""
    client = enrolled(free)
    token = second_step(free, client)["access_token"]
    before = counted(free)
    factor = client.get("/mfa", token=token)["factors"][0]["id"]
    waiting = client.login(EMAIL, PASSWORD)
    free.core.world.advance(31)
    sent = client.post("/otp/send", {"mfa_token": waiting["mfa_token"]})
    body = {"factor_id": factor, "code": code_of(free, sent["challenge_id"])}

    assert client.post("/reauthenticate", body, token=token).status == 200
    assert counted(free) == (before[0] + 1, before[1] + 1)


def test_an_sms_that_was_not_put_out_is_not_recorded_as_sent(tmp_path: Path) -> None:
    """`otp.sent` says that a code was put into the outbox: as many events as rows."""
    with service(tmp_path, limit_sms_number="1/86400s") as app:
        for _ in range(3):
            ask(app)
            app.core.world.advance(31)
        told = [row for row in event_rows(app) if row["action"] == "otp.sent"]
        assert (len(told), len(queued(app))) == (1, 1)


@pytest.mark.parametrize(
    "settings",
    [{"sms": "off"}, {"sms_countries": ""}, {"sms_countries": "+1,+44"}, {"sms_countries": "+49171"}],
    ids=["off", "none listed", "others listed", "another range listed"],
)
def test_where_sms_cannot_go_everybody_is_told(tmp_path: Path, settings: dict[str, str]) -> None:
    """422 on phone_number, at each door, whoever has the number; nothing is put into the outbox."""
    with service(tmp_path, **settings) as app:
        client = Client(app)
        token = client.register()["access_token"]
        answers = [
            client.post("/otp/send", {"phone_number": NUMBER}),
            client.post("/otp/send", {"channel": "sms", "phone_number": NUMBER}, token=token),
            client.post("/mfa/setup", {"type": "sms", "phone_number": NUMBER}, token=token),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [(422, "invalid_request")] * 3
        assert [[(error["field"], error["code"]) for error in answer["errors"]] for answer in answers] == [
            [("phone_number", "not_allowed")]
        ] * 3
        assert (queued(app), refusals(app), counted(app)) == ([], [], (0, 0))


def test_a_country_that_was_taken_off_the_list_gets_nothing(tmp_path: Path) -> None:
    """A factor that is there already: the same 202, a row that says why, and no SMS."""
    with service(tmp_path) as app:
        enrolled(app)
        before = len(queued(app))
    with service(tmp_path, sms_countries="+1") as app:
        app.core.world.advance(60)
        waiting = Client(app).login(EMAIL, PASSWORD)
        sent = Client(app).post("/otp/send", {"mfa_token": waiting["mfa_token"]})
        assert (sent.status, len(queued(app)), refusals(app)) == (202, before, ["sms_countries"])


def test_the_outbox_row_holds_no_code(free: App) -> None:
    """Only the number, the language and the challenge that the text is made from; it is given up after five minutes."""
    sent = ask(free)
    (row,) = queued(free)

    assert json.loads(row.payload) == {"to": NUMBER, "locale": None}
    assert (row.ref, row.target, row.expires_at) == (sent["challenge_id"], NUMBER, START + 300_000)
    assert code_of(free, sent["challenge_id"]) not in row.payload
