"""Attacks on signing in by a provider: D1 to D4 and D6 to D9 of the attack list, and A12, A13 and C8 where they meet them."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.flows import removal
from authsvc.primitives import links
from authsvc.providers import calls
from authsvc.rules.access import EVERYTHING
from tests.letterbox import counts, letters, rows
from tests.openid import peers
from tests.openid.peers import SECRET, Behaviour, Fake, endless, fake_provider, hangs, s256, says, says_bytes, says_raw, trickles
from tests.openid.walks import HTML, JSON_ONLY, begin, begin_link, browser, query_of
from tests.phone import enrol_totp, refused
from tests.support import PASSWORD, Answer, Client, FakeWorld, actions, event_rows, running, together

TABLES = ("users", "identities", "sessions", "outbox", "events")
VICTIM = "ada@example.com"


@pytest.fixture
def real_time() -> FakeWorld:
    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    return world


@pytest.fixture(scope="module")
def shared_fake() -> Iterator[Fake]:
    with fake_provider() as fake:
        yield fake


@pytest.fixture
def fake(shared_fake: Fake) -> Iterator[Fake]:
    """The fake provider, which behaves again at the end."""
    behaviours = dict(shared_fake.behaviours)
    yield shared_fake
    shared_fake.behaviours = behaviours
    shared_fake.claims, shared_fake.metadata, shared_fake.told_by_userinfo, shared_fake.checks_pkce = dict(peers.ADA), {}, None, True


@pytest.fixture
def app(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> Iterator[App]:
    """`corp` speaks OpenID Connect, `plain` does not; `other` is corp's twin."""
    named = fake.settings() | fake.settings("other") | fake.plain("plain")
    with running(tmp_path, real_time, **named, limit_oauth="0") as app:
        yield app


def callback(client: Client, answer_or_path: str) -> Answer:
    return client.get(answer_or_path, headers=JSON_ONLY)


def nothing_happened(app: App, before: list[int]) -> None:
    assert counts(app, *TABLES) == before


# D1


@pytest.mark.parametrize("query", ["", "?code=x", "?state=", "?code=x&state=", "?code=x&state=x", f"?code=x&state={'0' * 26}.{'A' * 43}"])
def test_d1_no_state_or_one_that_nobody_made(app: App, query: str) -> None:
    """D1: oauth_state_invalid, though the browser has the cookie of an open attempt."""
    client = browser(app)
    begin(client)
    before = counts(app, *TABLES)
    refused(callback(client, f"/oauth/corp/callback{query}"), 400, "oauth_state_invalid")
    nothing_happened(app, before)


@pytest.mark.parametrize("position", [*range(0, 70, 5), 69])
def test_d1_an_altered_state(app: App, fake: Fake, position: int) -> None:
    """D1: one other character makes it nobody's; the right one works afterwards."""
    client = browser(app)
    url = begin(client)
    state = query_of(url)["state"]
    other = "b" if state[position] != "b" else "c"
    forged = fake.callback(url).replace(state, state[:position] + other + state[position + 1 :])
    asked = len(fake.at("/token"))
    refused(callback(client, forged), 400, "oauth_state_invalid")
    assert len(fake.at("/token")) == asked
    assert callback(client, fake.callback(url)).status == 200


@pytest.mark.parametrize("cookie", [None, "", "x", "a" * 43, "another browser's"])
def test_d1_another_browsers_state(app: App, fake: Fake, cookie: str | None) -> None:
    """D1: without the cookie of the browser that began it nothing happens, and the attempt is not spent."""
    client, victim = browser(app), browser(app)
    path = fake.callback(begin(client))
    if cookie == "another browser's":
        begin(victim)
    elif cookie is not None:
        victim.cookies["authsvc_oauth"] = cookie
    before, asked = counts(app, *TABLES), len(fake.at("/token"))
    for headers, status in ((JSON_ONLY, 400), (HTML, 400)):
        answer = victim.get(path, headers=headers)
        assert (answer.status, answer.header_list("Set-Cookie")) == (status, [])
    nothing_happened(app, before)
    assert len(fake.at("/token")) == asked
    assert callback(client, path).status == 200


def test_d1_a_used_state(app: App, fake: Fake) -> None:
    """D1: it is good once, whatever came of it: a sign-in, a cancelled one, a failed exchange."""
    client = browser(app)
    for query in ({"code": "wrong"}, {"error": "access_denied"}, {}):
        url = begin(client)
        state = query_of(url)["state"]
        first = callback(
            client, f"/oauth/corp/callback?{urlencode({'state': state, **query, 'iss': fake.url})}" if query else fake.callback(url)
        )
        assert first.code != "oauth_state_invalid" if first.status != 200 else True
        before = counts(app, *TABLES)
        refused(callback(client, fake.callback(url)), 400, "oauth_state_invalid")
        nothing_happened(app, before)


def test_d1_a_state_runs_out_after_ten_minutes(app: App, fake: Fake) -> None:
    """D1: one second before it works, at ten minutes it does not, and a clock that goes back does not revive a spent one."""
    client = browser(app)
    early, late = fake.callback(begin(client)), fake.callback(begin(client))
    app.core.world.advance(599)
    assert callback(client, early).status == 200
    app.core.world.advance(1)
    refused(callback(client, late), 400, "oauth_state_invalid")
    app.core.world.advance(-600)
    refused(callback(client, early), 400, "oauth_state_invalid")


@pytest.mark.parametrize("name", ["other", "plain"])
def test_d1_d3_another_providers_state(app: App, fake: Fake, name: str) -> None:
    """D1, D3: what was begun with one provider does not end at the callback of another, and is not spent there."""
    client = browser(app)
    path = fake.callback(begin(client))
    asked = len(fake.at("/token"))
    refused(callback(client, path.replace("/corp/", f"/{name}/")), 400, "oauth_state_invalid")
    assert len(fake.at("/token")) == asked
    assert callback(client, path).status == 200


@pytest.mark.parametrize("purpose", ["magic", "verify", "reset", "login"])
def test_d1_b3_tokens_of_other_purposes_are_no_state(app: App, fake: Fake, purpose: str) -> None:
    """B3: nothing else that is derived from the attempt, or from a link, passes for its state; nor the state for a link."""
    client = browser(app)
    url = begin(client)
    state = query_of(url)["state"]
    (row,) = rows(app, "SELECT id FROM challenges")
    forged = links.mint(app.core.keyring.current, row["id"], purpose)
    refused(callback(client, f"/oauth/corp/callback?state={forged}&code=x"), 400, "oauth_state_invalid")
    for path in (f"/login/magic/{state}", f"/email/verify/{state}"):
        refused(client.post(path), 410, "link_invalid")
    refused(client.post(f"/password/reset/{state}", {"password": PASSWORD}), 410, "link_invalid")
    refused(client.post("/mfa/verify", {"mfa_token": f"mfa_{state}", "code": "000000"}), 401, "invalid_token")
    assert client.post("/otp/verify", {"challenge_id": row["id"], "code": "000000"}).status == 422
    assert callback(client, fake.callback(url)).status == 200


def test_d1_fifty_threads_with_one_callback(app: App, fake: Fake) -> None:
    """D1: one wins, and the provider is asked once."""
    client = browser(app)
    path = fake.callback(begin(client))
    asked = len(fake.at("/token"))
    copies = [Client(app, keep_cookies=True, cookies=dict(client.cookies)) for _ in range(50)]
    answers = together(50, lambda number: callback(copies[number], path))
    lost = [answer for answer in answers if answer.status != 200]
    assert len(lost) == 49
    assert {answer.code for answer in lost} <= {"oauth_state_invalid", "busy"}
    assert len(fake.at("/token")) == asked + 1
    assert counts(app, "users", "identities", "sessions") == [1, 1, 1]


# D2


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("linking", [False, True])
def test_d2_the_attackers_callback_in_the_victims_browser(app: App, fake: Fake, signed_in: bool, linking: bool) -> None:
    """D2: the victim is neither signed into the attacker's account nor given the attacker's identity, nor does it spend it."""
    victim, attacker = browser(app), browser(app)
    owner = victim.register(options={"setCookie": True})
    if not signed_in:
        victim.cookies.clear()
    begin(victim)
    token = attacker.register("eve@mail.com")["access_token"]
    url = begin_link(attacker, token) if linking else begin(attacker)
    path = fake.callback(url, sub="eve", email="eve@elsewhere.example")
    kept, before = dict(victim.cookies), counts(app, *TABLES)
    for headers in (JSON_ONLY, HTML):
        assert victim.get(path, headers=headers).status == 400
    assert victim.cookies == kept
    nothing_happened(app, before)
    assert callback(attacker, path).status == 200
    assert client_identities(app, owner) == []


def client_identities(app: App, answer: Answer) -> Any:
    return Client(app).get("/oauth/link", token=answer["access_token"])["identities"]


def test_d2_a_planted_cookie_of_the_attacker_is_refused_on_https(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D2, B10: on https the name without the prefix, which a sibling domain could set, counts for nothing."""
    named = {"public_url": "https://auth.example", "secret_key": "7f3a9c51e8d2b604" + "c4b19e7d20f5683a" * 2, "mail_from": "a@auth.example"}
    with running(tmp_path, real_time, **fake.settings(), **named) as app:
        attacker, victim = browser(app), browser(app)
        path = fake.callback(begin(attacker))
        value = attacker.cookies["__Host-authsvc_oauth"]
        for name in ("authsvc_oauth", "__Secure-authsvc_oauth"):
            victim.cookies = {name: value}
            refused(callback(victim, path), 400, "oauth_state_invalid")
        assert callback(attacker, path).status == 200


def test_d2_linking_while_somebody_else_is_signed_in(app: App, fake: Fake) -> None:
    """D2: in the same browser, but with another account's session: nothing is linked to either, the provider is not asked."""
    client = browser(app)
    first, second = client.register(), client.register("second@mail.com")
    path = fake.callback(begin_link(client, first["access_token"]))
    asked = len(fake.at("/token"))
    refused(client.get(path, headers=JSON_ONLY, token=second["access_token"]), 400, "oauth_state_invalid")
    assert len(fake.at("/token")) == asked
    client.cookies["authsvc_access"] = second["access_token"]
    refused(callback(client, path), 400, "oauth_state_invalid")
    assert counts(app, "identities") == [0]
    assert client.get(path, headers=JSON_ONLY, token=first["access_token"])["status"] == "linked"


@pytest.mark.parametrize("end", ["logout", "all", "expired", "disabled", "deleted", "password"])
def test_d2_linking_after_the_session_has_ended(app: App, fake: Fake, end: str) -> None:
    """D2: whoever kept the callback cannot link by a session that does not count any more: refused, nothing linked, no 5xx."""
    from authsvc.events import CLI
    from authsvc.flows import login, users

    client = browser(app)
    owner = client.register()
    token, user_id = owner["access_token"], owner["user"]["id"]
    path = fake.callback(begin_link(client, token), sub="eve", email="eve@mail.com")
    if end == "logout":
        assert client.post("/token/revoke", {"token": token}).status == 200
    elif end == "all":
        assert client.delete("/sessions?all=true", token=token).status in (200, 204)
    elif end == "expired":
        with closing(sqlite3.connect(app.core.store.path)) as connection, connection:
            connection.execute("UPDATE sessions SET expires_at = 0")
    elif end == "disabled":
        users.set_status(app.core, user_id, "disabled", CLI)
    elif end == "deleted":
        removal.delete(app.core, user_id, CLI, EVERYTHING)
    else:
        login.set_password(app.core, users.find(app.core, user_id).user, "marble-lantern-47", CLI)
    client.cookies.pop("authsvc_access", None)
    answer = callback(client, path)
    assert (answer.status, answer.code) == (400, "oauth_state_invalid")
    assert answer.header_list("Set-Cookie") == []
    assert counts(app, "identities") == [0]
    assert "identity.linked" not in actions(app)


def test_d2_a_link_attempt_never_signs_in(app: App, fake: Fake) -> None:
    """D2: coming back from linking opens no session, also where the cookie of the session is gone."""
    client = browser(app)
    token = client.register()["access_token"]
    path = fake.callback(begin_link(client, token))
    client.cookies.pop("authsvc_access", None)
    answer = client.get(path, headers=HTML)
    assert (answer.status, answer.header_list("Set-Cookie")) == (302, [])
    assert counts(app, "sessions", "identities") == [1, 1]


def test_d2_a_sign_in_while_another_account_is_signed_in_gets_its_own_session(app: App, fake: Fake) -> None:
    """B8: the identity is not added to the account that happens to be signed in."""
    client = browser(app)
    other = client.register(options={"setCookie": True})
    answer = callback(client, fake.callback(begin(client)))
    assert answer["user"]["id"] != other["user"]["id"]
    assert answer["session_id"] != other["session_id"]
    assert client_identities(app, other) == []


# D3


@pytest.mark.parametrize("iss", ["missing", "other", "slash", "case", "empty", "twice"])
def test_d3_an_answer_of_another_issuer(tmp_path: Path, fake: Fake, real_time: FakeWorld, iss: str) -> None:
    """D3, RFC 9207: where the provider announces `iss`, one that is missing or not exactly its own is refused before the code
    goes anywhere."""
    fake.metadata = {"authorization_response_iss_parameter_supported": True}
    with running(tmp_path, real_time, **fake.settings()) as app:
        client = browser(app)
        path = fake.callback(begin(client))
        right = urlencode({"iss": fake.url})
        wrong = {
            "missing": "",
            "other": urlencode({"iss": "https://evil.example"}),
            "slash": f"{right}%2F",
            "case": urlencode({"iss": fake.url.upper()}),
            "empty": "iss=",
            "twice": f"{right}&{right}",
        }
        asked = len(fake.at("/token"))
        answer = callback(client, path.replace(right, wrong[iss]))
        assert (answer.status, answer.code) == (400, "invalid_request" if iss == "twice" else "oauth_state_invalid")
        assert len(fake.at("/token")) == asked
        assert counts(app, "users", "sessions") == [0, 0]


def test_d3_an_issuer_that_is_not_announced_must_fit_where_it_is_told(app: App, fake: Fake) -> None:
    """D3: also on an error, which then is not believed; without any it may pass, for our callbacks differ by provider."""
    client = browser(app)
    for query in ({"code": "x"}, {"error": "access_denied"}):
        state = query_of(begin(client))["state"]
        path = f"/oauth/corp/callback?{urlencode({**query, 'state': state, 'iss': 'https://evil.example'})}"
        refused(callback(client, path), 400, "oauth_state_invalid")
    path = fake.callback(begin(client)).partition("&iss=")[0]
    assert callback(client, path).status == 200


def test_d3_each_provider_has_a_callback_of_its_own(app: App) -> None:
    """D3, RFC 9700 4.4: by which an answer of one is never taken for another's."""
    found = {name: query_of(begin(browser(app), name))["redirect_uri"] for name in ("corp", "other", "plain")}
    assert found == {name: f"http://127.0.0.1:8000/oauth/{name}/callback" for name in found}


def test_d3_redirect_uri_is_never_taken_from_the_request(app: App) -> None:
    """C4: Host and forwarding headers change nothing."""
    answer = browser(app).get("/oauth/corp", headers={**JSON_ONLY, "Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "evil" not in answer["authorize_url"]


def test_d3_a_code_of_one_provider_at_another(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D3: the code of an honest provider that is brought to the attacker's own callback goes there with no verifier of use."""
    with fake_provider() as evil, running(tmp_path, real_time, **fake.settings(), **evil.settings("evil")) as app:
        client = browser(app)
        honest, other = begin(client), begin(client, "evil")
        stolen = fake.code(honest)
        answer = callback(client, f"/oauth/evil/callback?{urlencode({'state': query_of(other)['state'], 'code': stolen})}")
        refused(answer, 502, "oauth_exchange_failed")
        seen = evil.at("/token")[-1].form()
        assert s256(seen["code_verifier"]) != query_of(honest)["code_challenge"]
        assert counts(app, "users", "sessions") == [0, 0]


# D4


def test_d4_a_code_of_another_attempt(app: App, fake: Fake) -> None:
    """D4: the victim's code in the attacker's own attempt: the verifier does not fit, and nobody is signed in."""
    victim, attacker = browser(app), browser(app)
    stolen = fake.code(begin(victim))
    own = begin(attacker)
    refused(callback(attacker, fake.callback(own, stolen)), 502, "oauth_exchange_failed")
    assert counts(app, "users", "sessions") == [0, 0]


def test_d4_a_code_of_another_attempt_at_a_provider_that_ignores_pkce(app: App, fake: Fake) -> None:
    """D4: then the nonce of the id_token is another's, and that is enough."""
    fake.checks_pkce = False
    victim, attacker = browser(app), browser(app)
    stolen = fake.code(begin(victim))
    refused(callback(attacker, fake.callback(begin(attacker), stolen)), 502, "oauth_exchange_failed")
    assert counts(app, "users", "sessions") == [0, 0]
    assert callback(attacker, fake.callback(begin(attacker))).status == 200


@pytest.mark.parametrize("name", ["corp", "plain"])
def test_d4_verifier_state_and_nonce_are_of_one_attempt(app: App, fake: Fake, name: str) -> None:
    """D4: PKCE is always used, by S256, also where the provider says nothing of it; each attempt has values of its own,
    also in one browser."""
    client, seen = browser(app), []
    for _ in range(5):
        url = begin(client, name)
        query = query_of(url)
        assert query["code_challenge_method"] == "S256"
        callback(client, fake.callback(url))
        form = fake.at("/token")[-1].form()
        assert s256(form["code_verifier"]) == query["code_challenge"]
        assert form["redirect_uri"] == query["redirect_uri"]
        seen += [form["code_verifier"], query["state"], *([query["nonce"]] if name == "corp" else [])]
    assert len(set(seen)) == len(seen)
    assert min(map(len, seen)) >= 43


def test_d4_nothing_in_the_metadata_takes_pkce_away(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D4: a provider that lists `plain` only, or no method, gets S256 all the same."""
    for listed in (["plain"], []):
        fake.metadata = {"code_challenge_methods_supported": listed}
        with running(tmp_path, real_time, **fake.settings()) as app:
            assert query_of(begin(browser(app)))["code_challenge_method"] == "S256"


def test_d4_an_id_token_that_is_replayed(app: App, fake: Fake) -> None:
    """D5: an id_token of an earlier sign-in has another nonce."""
    client = browser(app)
    callback(client, fake.callback(begin(client)))
    old = fake.tokens[-1]
    fake.behaviours["/token"] = says({"access_token": "a" * 24, "token_type": "Bearer", "id_token": old})
    refused(callback(client, fake.callback(begin(client))), 502, "oauth_exchange_failed")
    assert counts(app, "sessions") == [1]


# D6, A12, A13


def test_a12_d6_a_squatter_loses_everything(app: App, fake: Fake) -> None:
    """A12, A13, D6: password, factor, identity, session, phone, pending change and a link attempt that is under way are gone
    when the owner of the address comes by a provider; on record and told."""
    squatter = browser(app)
    made = squatter.register(VICTIM, phone_number="+14155550100")
    token, user_id = made["access_token"], made["user"]["id"]
    assert callback(squatter, fake.callback(begin_link(squatter, token, "plain"), sub="evil", email="evil@mail.com"))["status"] == "linked"
    waiting = fake.callback(begin_link(squatter, token, "other"), sub="evil", email="evil@mail.com")
    assert squatter.put(f"/user/{user_id}", {"email": "evil@mail.com"}, token=token).status == 200
    enrol_totp(squatter, token)

    victim = browser(app)
    answer = callback(victim, fake.callback(begin(victim)))
    assert answer.status == 200, answer.body
    user = answer["user"]
    assert (user["id"], user["email"], user["email_verified"]) == (user_id, VICTIM, True)
    assert (user["has_password"], user["mfa_enabled"], user["phone_number"]) == (False, False, None)
    assert [one["provider"] for one in client_identities(app, answer)] == ["corp"]
    refused(squatter.get("/user", token=token), 401, "invalid_token")
    refused(squatter.refresh(made["refresh_token"]), 401, "invalid_token")
    refused(squatter.login(VICTIM), 401, "invalid_credentials")
    refused(callback(squatter, waiting), 400, "oauth_state_invalid")
    by_evil = callback(squatter, fake.callback(begin(squatter, "plain"), sub="evil", email="evil@mail.com"))
    assert by_evil["user"]["id"] != user_id
    (event,) = [row for row in event_rows(app) if row["action"] == "account.reclaimed"]
    assert set(json.loads(event["data"])["dropped"]) == {"password", "phone_number", "sessions", "factors", "identities", "email_change"}
    assert ("account_reclaimed", VICTIM) in letters(app)
    assert [row["user_id"] for row in rows(app, "SELECT user_id FROM sessions WHERE ended_at IS NULL")] == [user_id, by_evil["user"]["id"]]


def test_a12_a_squatter_with_an_unverified_identity_loses_it_too(app: App, fake: Fake) -> None:
    """A12: an account that was made by a provider which does not vouch for the address is the owner's once they come."""
    squatter, victim = browser(app), browser(app)
    first = callback(squatter, fake.callback(begin(squatter, "plain"), sub="evil", email_verified=False))
    assert (first["user"]["email"], first["user"]["email_verified"]) == (VICTIM, False)
    answer = callback(victim, fake.callback(begin(victim)))
    assert (answer.status, answer["user"]["id"]) == (200, first["user"]["id"])
    assert [one["provider"] for one in client_identities(app, answer)] == ["corp"]
    refused(squatter.get("/user", token=first["access_token"]), 401, "invalid_token")


def test_d6_an_unverified_address_takes_no_account(app: App, fake: Fake) -> None:
    """D6: not with `email_verified` absent, false, in a list, as another text, nor as a number; the account is as it was."""
    Client(app).register(VICTIM)
    before = rows(app, "SELECT * FROM users"), rows(app, "SELECT * FROM sessions")
    client = browser(app)
    for value in (False, None, "false", "yes", "TRUE", 0, 2, [], [True], {}, {"ada@example.com": True}, "", "eve@example.com"):
        answer = callback(client, fake.callback(begin(client), sub="eve", email_verified=value))
        assert (answer.status, answer.code) == (409, "oauth_not_linked"), value
    assert (rows(app, "SELECT * FROM users"), rows(app, "SELECT * FROM sessions")) == before
    assert counts(app, "identities") == [0]


def test_d6_trust_can_be_taken_from_a_provider(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D6: with TRUST_EMAIL=no its word for an address counts for nothing."""
    with running(tmp_path, real_time, **fake.settings(oauth_corp_trust_email="no")) as app:
        Client(app).register(VICTIM)
        client = browser(app)
        refused(callback(client, fake.callback(begin(client))), 409, "oauth_not_linked")


# C8


@pytest.mark.parametrize(
    ("trusted", "told", "passes"),
    [
        ("", ["mfa"], False),
        ("corp", ["mfa"], True),
        ("corp", ["pwd"], False),
        ("corp", ["otp", "pwd"], True),
        ("corp", None, False),
        ("other", ["mfa"], False),
    ],
)
def test_c8_the_second_step_stands_after_a_provider(
    tmp_path: Path, fake: Fake, real_time: FakeWorld, trusted: str, told: Any, passes: bool
) -> None:
    """C8: whoever has a factor is asked for it, unless this provider is trusted and tells of a second step of its own."""
    named = fake.settings() | fake.settings("other")
    with running(tmp_path, real_time, **named, mfa_trust=trusted, limit_factor="0") as app:
        client = browser(app)
        owner = callback(client, fake.callback(begin(client)))
        enrol_totp(client, owner["access_token"])
        answer = callback(client, fake.callback(begin(client), **({"amr": told} if told else {})))
        if passes:
            assert answer.status == 200
            assert rows(app, "SELECT acr, amr FROM sessions WHERE id = ?", answer["session_id"]) == [{"acr": "aal2", "amr": "fed mfa"}]
        else:
            refused(answer, 401, "mfa_required")
            assert counts(app, "sessions") == [1]
            refused(client.get("/user", token=answer["mfa_token"]), 401, "invalid_token")


# D7


def test_d7_another_issuer_under_the_same_name_has_other_people(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D7: after a name was given to another provider the same sub there is somebody else, and takes no account."""
    with running(tmp_path, real_time, **fake.settings()) as app:
        client = browser(app)
        mia = callback(client, fake.callback(begin(client), sub="mia", email=None))["user"]
        ada = callback(client, fake.callback(begin(client)))["user"]
    with fake_provider() as elsewhere, running(tmp_path, real_time, **elsewhere.settings()) as app:
        client = browser(app)
        assert callback(client, elsewhere.callback(begin(client), sub="mia", email=None))["user"]["id"] != mia["id"]
        refused(callback(client, elsewhere.callback(begin(client))), 409, "oauth_not_linked")
        assert rows(app, "SELECT realm FROM identities WHERE user_id = ?", ada["id"]) == [{"realm": fake.url}]


def test_d7_an_address_that_moves_at_the_provider_moves_nobody(app: App, fake: Fake) -> None:
    """D7: whoever takes the victim's verified address at the provider stays who they are."""
    client = browser(app)
    eve = callback(client, fake.callback(begin(client), sub="eve", email="eve@mail.com"))["user"]
    ada = callback(client, fake.callback(begin(client)))["user"]
    moved = callback(client, fake.callback(begin(client), sub="eve"))["user"]
    assert (moved["id"], moved["email"]) == (eve["id"], "eve@mail.com")
    assert callback(client, fake.callback(begin(client), email="eve@mail.com"))["user"]["id"] == ada["id"]
    assert counts(app, "users", "identities") == [2, 2]


@pytest.mark.parametrize("sub", ["bob", "ADA", None, ["ada"], "", 7])
def test_d5_userinfo_about_somebody_else(app: App, fake: Fake, sub: Any) -> None:
    """D5: a userinfo whose `sub` is not the id_token's is refused with the verified address in it."""
    client = browser(app)
    fake.told_by_userinfo = {**peers.ADA, "sub": sub}
    refused(callback(client, fake.callback(begin(client), email=None)), 502, "oauth_exchange_failed")
    assert counts(app, "users", "sessions") == [0, 0]
    fake.told_by_userinfo = dict(peers.ADA)
    assert callback(client, fake.callback(begin(client), email=None))["user"]["email"] == VICTIM


# D8

GOOD_TOKEN = {"access_token": "a" * 24, "token_type": "Bearer"}
DEEP = b"[" * 100_000
HUGE = json.dumps({**GOOD_TOKEN, "more": "x" * 300_000}).encode()
GZIPPED = gzip.compress(json.dumps(GOOD_TOKEN).encode())
BOMB = gzip.compress(b" " * 10_000_000 + json.dumps(GOOD_TOKEN).encode())
ILL: dict[str, Behaviour] = {
    "html": says_bytes(b"<!DOCTYPE html><title>Sign in</title>", 200, ("Content-Type", "text/html")),
    "empty": says_bytes(b""),
    "no JSON": says_bytes(b"access_token=aaa&token_type=bearer", 200, ("Content-Type", "application/x-www-form-urlencoded")),
    "a list": says([GOOD_TOKEN]),
    "a text": says("token"),
    "null": says(None),
    "deep": says_bytes(DEEP),
    "huge": says_bytes(HUGE),
    "large number": says_bytes(b'{"access_token": ' + b"9" * 10_000 + b"}"),
    "not UTF-8": says_bytes(b'{"access_token": "\xff\xfe"}'),
    "gzip": says_bytes(GZIPPED, 200, ("Content-Encoding", "gzip")),
    "gzip bomb": says_bytes(BOMB, 200, ("Content-Encoding", "gzip")),
    "redirect": lambda handler, _: handler.say({}, 307, (("Location", f"{handler.server.url}/elsewhere"),)),
    "redirect by 302": lambda handler, _: handler.say(GOOD_TOKEN, 302, (("Location", f"{handler.server.url}/elsewhere"),)),
    "500": says(GOOD_TOKEN, 500),
    "204": says_raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "error with 200": says({"error": "bad_verification_code"}),
    "hangs up": says_raw(b""),
    "no HTTP": says_raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "half": says_raw(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"access_token": "aaa"'),
    "bad chunk": says_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "half a chunk": says_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "endless headers": says_raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000),
    "long header": says_raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}"),
    "odd status": says_raw(b"HTTP/1.1 99999 Hello\r\n\r\n{}"),
    "negative length": says_raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
    "hangs": hangs,
    "trickles": trickles,
    "endless": endless,
    "continues for ever": says_raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
}
ODD_TOKENS: list[Any] = [None, "", 7, ["a"], {}, "a b\r\nX: y", "a\0", "é", "\ud800", "a" * 8_193]
STEPS = {"corp": "/token", "plain": "/userinfo", "other": "/jwks"}


@pytest.mark.parametrize("ill", ILL)
@pytest.mark.parametrize("name", ["corp", "plain", "other", "discovery"])
def test_d8_answers_that_are_none(app: App, fake: Fake, monkeypatch: pytest.MonkeyPatch, name: str, ill: str) -> None:
    """D8: at each step, oauth_exchange_failed within the deadline; nothing is made, no redirect is followed, nothing secret is in
    the log, and the next sign-in works."""
    patience = 0.5 if ill in ("hangs", "trickles", "endless") else 20.0
    good = dict(fake.behaviours)
    client = browser(app)
    step = peers.WELL_KNOWN if name == "discovery" else STEPS[name]
    fake.behaviours[step] = ILL[ill]
    if name == "discovery":
        with monkeypatch.context() as hasty:
            hasty.setattr(calls, "SECONDS", patience)
            refused(client.get("/oauth/corp", headers=JSON_ONLY), 502, "oauth_exchange_failed")
        assert counts(app, "challenges") == [0]
    else:
        path = fake.callback(begin(client, name))
        with monkeypatch.context() as hasty:
            hasty.setattr(calls, "SECONDS", patience)
            refused(callback(client, path), 502, "oauth_exchange_failed")
        assert [row["action"] for row in event_rows(app)] == ["login.failed"]
        assert not [line for line in app.core.world.lines if query_of(path)["code"] in line or query_of(path)["state"] in line]
    assert counts(app, "users", "identities", "sessions", "outbox") == [0, 0, 0, 0]
    assert fake.at("/elsewhere") == []
    assert not [line for line in app.core.world.lines if SECRET in line or "Traceback" in line]
    fake.released.clear()
    fake.behaviours = good
    app.core.world.advance(11)
    name = "corp" if name == "discovery" else name
    assert callback(client, fake.callback(begin(client, name))).status == 200


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 500, 503])
@pytest.mark.parametrize("path", ["/token", "/userinfo"])
def test_d8_what_an_error_or_a_redirect_says_is_not_believed(app: App, fake: Fake, path: str, status: int) -> None:
    """D8: the very answer that is good with status 200 is none with another one."""
    value = GOOD_TOKEN if path == "/token" else peers.ADA
    client = browser(app)
    fake.behaviours[path] = says(value, status, ("Location", f"{fake.url}/elsewhere"))
    refused(callback(client, fake.callback(begin(client, "plain"))), 502, "oauth_exchange_failed")
    assert (fake.at("/elsewhere"), counts(app, "users", "sessions")) == ([], [0, 0])
    fake.behaviours[path] = says(value)
    assert callback(client, fake.callback(begin(client, "plain"))).status == 200


@pytest.mark.parametrize("token", ODD_TOKENS, ids=lambda token: ascii(token)[:12])
def test_d8_an_odd_access_token(app: App, fake: Fake, token: Any) -> None:
    """D8: what cannot stand in a header is no token, and reaches none."""
    fake.behaviours["/token"] = says({**GOOD_TOKEN, "access_token": token})
    client = browser(app)
    asked = len(fake.at("/userinfo"))
    refused(callback(client, fake.callback(begin(client, "plain"))), 502, "oauth_exchange_failed")
    assert len(fake.at("/userinfo")) == asked


@pytest.mark.parametrize(
    "sub", [None, "", 1.5, True, [], {}, "a\0b", "a\nb", "\ud800", "é", "x" * 256, "\x7f"], ids=lambda sub: ascii(sub)[:12]
)
@pytest.mark.parametrize("name", ["corp", "plain"])
def test_d8_an_odd_subject(app: App, fake: Fake, name: str, sub: Any) -> None:
    """D5, D8: whoever is not named by a printable text of at most 255 characters is nobody."""
    fake.claims = {**peers.ADA, "sub": sub}
    client = browser(app)
    refused(callback(client, fake.callback(begin(client, name), sub=sub)), 502, "oauth_exchange_failed")
    assert counts(app, "users", "identities", "sessions") == [0, 0, 0]


HOSTILE = [
    "\ud800",
    "a\0b",
    "x" * 100_000,
    "<script>alert(1)</script>",
    "a\r\nBcc: x@evil.example",
    ["x"],
    {"x": 1},
    7,
    None,
    True,
    "\u202eevil",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:12])
@pytest.mark.parametrize("member", ["email", "name", "picture", "locale", "given_name", "preferred_username"])
def test_d8_an_odd_profile(app: App, fake: Fake, member: str, value: Any) -> None:
    """D8: a member that is not sound is not taken; it keeps nobody out and breaks no page."""
    fake.claims = {**peers.ADA, member: value}
    client = browser(app)
    answer = callback(client, fake.callback(begin(client, "plain")))
    assert answer.status == 200, answer.body
    assert answer["user"]["name"] in (None, "Ada Lovelace", "<script>alert(1)</script>", "7", "True") or member != "name"
    client.get(fake.callback(begin(client, "plain")), headers=HTML)
    page = client.get("/account", headers=HTML)
    assert page.status == 200
    assert b"<script>alert" not in page.body


def test_d8_what_a_provider_repeats_of_our_secrets_is_not_logged(app: App, fake: Fake) -> None:
    """D8, B11: an error answer that quotes what we sent puts neither the code nor the secret nor the verifier into the log."""
    fake.behaviours["/token"] = lambda handler, asked: handler.say({"error": "invalid_grant", "error_description": told(asked.form())}, 400)

    def told(form: dict[str, str]) -> str:
        return f"code {form['code']} secret {form['client_secret']} verifier {form['code_verifier']}"

    client = browser(app)
    path = fake.callback(begin(client))
    refused(callback(client, path), 502, "oauth_exchange_failed")
    form = fake.at("/token")[-1].form()
    log = "\n".join(app.core.world.lines)
    assert "invalid_grant" in log
    assert [name for name in ("code", "client_secret", "code_verifier") if form[name] in log] == []


def test_d8_half_of_the_threads_wait_and_the_others_answer(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """D8: while as many requests hang as may, a further one is told to come again at once, and all else is answered."""
    with running(tmp_path, real_time, **fake.settings(), threads="4", limit_oauth="0") as app:
        clients = [browser(app) for _ in range(4)]
        paths = [fake.callback(begin(client)) for client in clients]
        fake.behaviours["/token"] = hangs
        asked = len(fake.at("/token"))

        def act(number: int) -> Answer | None:
            if number < 2:
                return callback(clients[number], paths[number])
            if number > 2:
                return None
            fake.wait_for("/token", asked + 2)
            refused(callback(clients[2], paths[2]), 503, "busy")
            refused(clients[3].get("/oauth/corp"), 503, "busy")
            assert Client(app).get("/healthz").status == 200
            assert Client(app).register().status == 201
            assert Client(app).login().status == 200
            fake.released.set()
            return None

        hung = together(3, act)
        assert [answer.code for answer in hung if answer] == ["oauth_exchange_failed"] * 2
        fake.released.clear()


# D9


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        ".",
        "%2e",
        "%2e%2e",
        "link",
        "unknown",
        "corp%00",
        "CORP",
        "corp ",
        "corp/",
        "corp%2Fcallback",
        "constructor",
        "__proto__",
        "",
        "é",
        "corp\n",
    ],
)
def test_d9_names_of_no_provider(app: App, name: str) -> None:
    """D9: 404 wherever a name is taken, for whoever asks, and no attempt begins."""
    client, token = browser(app), Client(app).register()["access_token"]
    before = counts(app, *TABLES, "challenges")
    for method, path in (("GET", f"/oauth/{name}/callback"), ("POST", f"/oauth/{name}/callback"), ("DELETE", f"/oauth/link/{name}")):
        assert client.call(method, path.encode().decode("latin-1"), token=token).status in (404, 405), path
    if name not in ("link", ""):
        refused(client.get(f"/oauth/{name}".encode().decode("latin-1")), 404, "not_found")
    refused(client.post("/oauth/link", {"provider": name}, token=token), 404, "not_found")
    assert counts(app, *TABLES, "challenges") == before


# Secrets


def test_nothing_of_a_sign_in_lies_on_the_disk_or_in_the_log(tmp_path: Path, fake: Fake, real_time: FakeWorld) -> None:
    """Provider tokens, codes, the client secret, state, nonce, verifier and the browser's cookie are in no file and no line of the
    log, neither while the attempt is open nor after it, whether it ended well or not."""
    with running(tmp_path, real_time, **fake.settings(), **fake.plain("plain"), limit_oauth="0") as app:
        secrets = [SECRET]
        for name in ("corp", "plain"):
            client = browser(app)
            for ends in ("well", "badly", "not"):
                url = begin(client, name)
                code = fake.code(url) if ends == "well" else f"a-code-that-nobody-has-given-{ends}"
                query = query_of(url)
                secrets += [code, query["state"], query["state"].partition(".")[2], client.cookies["authsvc_oauth"]]
                secrets += [query[name] for name in ("nonce",) if name in query]
                if ends != "not":
                    answer = callback(client, fake.callback(url, code))
                    assert answer.status == (200 if ends == "well" else 502)
                    secrets.append(fake.at("/token")[-1].form()["code_verifier"])
        secrets += fake.tokens
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith((".key", "-shm")))
        log = "\n".join(app.core.world.lines)
        assert b"ada@example.com" in written
        assert "/oauth/:provider/callback" in log
        assert [secret for secret in secrets if secret.encode() in written or secret in log] == []


def test_a_stolen_database_finishes_no_attempt(app: App, fake: Fake, tmp_path: Path) -> None:
    """Whoever reads the row of an open attempt has neither its state nor its browser's cookie: what another key makes of them
    is refused, and so is every text that lies in the row."""
    from authsvc.primitives.keyring import Key

    client = browser(app)
    path = fake.callback(begin(client))
    (row,) = rows(app, "SELECT * FROM challenges")
    noted = json.loads(row["data"])
    thief = browser(app)
    guesses = [links.mint(Key(b"x" * 32), row["id"], "oauth"), *map(str, row.values()), f"{row['id'].partition('_')[2]}.{noted['browser']}"]
    for state in guesses:
        for cookie in (noted["browser"], client.cookies["authsvc_oauth"]):
            thief.cookies["authsvc_oauth"] = cookie
            refused(callback(thief, f"/oauth/corp/callback?{urlencode({'state': state[:200], 'code': 'x'})}"), 400, "oauth_state_invalid")
    thief.cookies["authsvc_oauth"] = noted["browser"]
    refused(callback(thief, path), 400, "oauth_state_invalid")
    assert callback(client, path).status == 200
