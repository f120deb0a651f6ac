"""Promises of what is remembered of a provider: its endpoints and keys, for how long, and how seldom they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import authsvc
from authsvc.http.outbound import Answered
from authsvc.http.slots import Slots
from authsvc.problems import Problem
from authsvc.providers.assembly import Providers
from authsvc.providers.discovery import endpoints
from authsvc.providers.keys import Keys
from authsvc.providers.presets import OPENID, PRESETS
from authsvc.providers.remembered import Remembered, lifetime
from tests.providers.tokens import ec_jwk, rsa_jwk, rsa_key
from tests.providers.vendors import Net, Said, Vendors
from tests.support import FakeWorld

ROOT = Path(authsvc.__file__).parent.parent
ISSUER = "https://id.example.com/tenant"
DOCUMENT = f"GET {ISSUER}/.well-known/openid-configuration"
JWKS = "https://id.example.com/keys"
WHOLE: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://id.example.com/authorize",
    "token_endpoint": "https://id.example.com/token",
    "userinfo_endpoint": "https://id.example.com/userinfo",
    "jwks_uri": JWKS,
}


class Source:
    """Something that is published: a new value each time, while it is up."""

    def __init__(self, world: FakeWorld, cache_control: str = "") -> None:
        self.asked = 0
        self.up = True
        self.headers = {"cache-control": cache_control} if cache_control else {}
        self.kept = Remembered(world, self.load)

    def load(self, *_: Any) -> tuple[int, Answered]:
        self.asked += 1
        if not self.up:
            raise Problem("oauth_exchange_failed", reason=f"down, {self.asked}")
        return self.asked, Answered(200, self.headers, b"")


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 3_600),
        ("public", 3_600),
        ("max-age=7200", 7_200),
        ("public, max-age=19204, must-revalidate, no-transform", 19_204),
        ("MAX-AGE=7200", 7_200),
        ("public,max-age=7200", 7_200),
        ("max-age=0", 300),
        ("max-age=1", 300),
        ("max-age=999999999", 86_400),
        ("s-maxage=7200", 3_600),
        ("x-max-age=7200", 3_600),
        ("max-age=-1", 3_600),
        ("max-age=1e9", 3_600),
        ("max-age=", 3_600),
        ("no-store", 300),
        ("no-cache", 300),
        ("no-store, max-age=7200", 300),
    ],
)
def test_a_lifetime_is_the_providers_within_our_bounds(cache_control: str, seconds: int) -> None:
    """RFC 9111 section 5.2.2: from five minutes to a day, an hour where nothing is said; what must not be stored is kept for
    the least."""
    assert lifetime(Answered(200, {"cache-control": cache_control}, b"")) == seconds
    assert lifetime(Answered(200, {}, b"")) == 3_600


def test_it_is_asked_for_once_while_it_is_fresh(world: FakeWorld) -> None:
    """And once more when its time has run out, not a second before."""
    source = Source(world, "max-age=7200")
    assert [source.kept.get() for _ in range(3)] == [1, 1, 1]
    world.advance(7_199)
    assert source.kept.get() == 1
    world.advance(1)
    assert [source.kept.get() for _ in range(3)] == [2, 2, 2]
    assert source.asked == 2


def test_a_failure_leaves_the_old_value_in_use(world: FakeWorld) -> None:
    """For a day beyond its time, and asked for again every ten seconds at most."""
    source = Source(world)
    source.kept.get()
    source.up = False
    world.advance(3_600)
    assert [source.kept.get() for _ in range(5)] == [1] * 5
    assert source.asked == 2
    world.advance(10)
    assert source.kept.get() == 1
    assert source.asked == 3
    source.up = True
    world.advance(9)
    assert source.kept.get() == 1
    world.advance(1)
    assert source.kept.get() == 4


def test_what_is_too_old_is_used_no_more(world: FakeWorld) -> None:
    """A day after its time there is none: neither at the failure nor in the pause after it."""
    source = Source(world)
    source.kept.get()
    source.up = False
    world.advance(3_600 + 86_400 + 1)
    reasons = []
    for _ in range(3):
        with pytest.raises(Problem) as raised:
            source.kept.get()
        assert raised.value.code == "oauth_exchange_failed"
        reasons.append(raised.value.reason == "down, 2")
    assert reasons == [True, False, False]
    assert source.asked == 2


def test_without_a_value_a_failure_is_not_repeated_at_once(world: FakeWorld) -> None:
    """Sign-ins at a provider that is down do not wait for it one by one: ten seconds apart."""
    source = Source(world)
    source.up = False
    for _ in range(5):
        with pytest.raises(Problem) as raised:
            source.kept.get()
        assert raised.value.code == "oauth_exchange_failed"
    assert source.asked == 1
    source.up = True
    world.advance(10)
    assert source.kept.get() == 2


def test_a_clock_that_was_set_back_does_not_keep_it_for_ever(world: FakeWorld) -> None:
    """From the future is old: it is asked for anew, once; and a failure of the future does not rest."""
    source = Source(world)
    source.kept.get()
    world.advance(-86_400)
    assert [source.kept.get() for _ in range(3)] == [2, 2, 2]

    other = Source(world)
    other.up = False
    with pytest.raises(Problem):
        other.kept.get()
    other.up = True
    world.advance(-86_400)
    assert other.kept.get() == 2


def published(vendors: Vendors, *keys: dict[str, Any]) -> None:
    vendors.answers[f"GET {JWKS}"] = Said({"keys": list(keys)})


def test_a_known_key_is_found_without_asking_again(net: Net, vendors: Vendors) -> None:
    """By id and family."""
    published(vendors, rsa_jwk(), ec_jwk(kid="ec"))
    keys = Keys(net, "corp", JWKS)
    for _ in range(3):
        assert keys.find("ec", "ES256") is not None
        assert keys.find(str(rsa_jwk()["kid"]), "RS256") is not None
        assert keys.find(None, "RS256") is not None
    assert vendors.targets == [f"GET {JWKS}"]


def test_an_unknown_key_is_asked_for_once_in_a_while(net: Net, vendors: Vendors) -> None:
    """A provider that has changed its keys is believed after thirty seconds; whoever makes up ids costs one call in that time."""
    published(vendors, rsa_jwk())
    keys = Keys(net, "corp", JWKS)
    assert keys.find("new", "RS256") is None
    assert len(vendors.asked) == 1
    published(vendors, rsa_jwk(), rsa_jwk(rsa_key("other"), kid="new"))
    net.advance(31)
    assert keys.find("new", "RS256") is not None
    assert len(vendors.asked) == 2
    for made_up in range(20):
        assert keys.find(str(made_up), "RS256") is None
    assert len(vendors.asked) == 2


def test_an_unknown_key_is_asked_for_once_in_a_while_of_a_provider_that_is_down(net: Net, vendors: Vendors) -> None:
    """Also where the call fails: each would wait for its deadline otherwise; known keys stay in use meanwhile."""
    published(vendors, rsa_jwk())
    keys = Keys(net, "corp", JWKS)
    assert keys.find("new", "RS256") is None
    vendors.answers = {}
    net.advance(31)
    for _ in range(5):
        with suppress(Problem):
            assert keys.find("new", "RS256") is None
    assert keys.find(str(rsa_jwk()["kid"]), "RS256") is not None
    assert len(vendors.asked) == 2


@pytest.mark.parametrize("value", [[], None, "x", {"keys": {}}, {"keys": None}, {}, {"key": []}])
def test_what_is_no_key_set_fails(value: Any, net: Net, vendors: Vendors) -> None:
    """RFC 7517 section 5."""
    vendors.answers[f"GET {JWKS}"] = Said(value)
    with pytest.raises(Problem) as raised:
        Keys(net, "corp", JWKS).find("a", "RS256")
    assert raised.value.code == "oauth_exchange_failed"


def test_odd_keys_do_not_hide_the_sound_ones(net: Net, vendors: Vendors) -> None:
    """RFC 7517 section 5: those that are not understood are passed over, and only so many are looked at."""
    vendors.answers[f"GET {JWKS}"] = Said({"keys": [None, 1, [], {}, {"kty": "XX"}, {"kty": ["RSA"]}, rsa_jwk()]})
    assert Keys(net, "corp", JWKS).find(str(rsa_jwk()["kid"]), "RS256") is not None


def found(net: Net, **changes: Any) -> Any:
    net.vendors.answers[DOCUMENT] = Said({name: value for name, value in (WHOLE | changes).items() if value is not ...})
    return endpoints(replace(OPENID, issuer=ISSUER), net, "corp")[0]


def test_the_document_says_where_to_go(net: Net, vendors: Vendors) -> None:
    """OpenID Connect Discovery section 4: below the issuer, of which one slash at the end is left out."""
    where = found(net)
    assert (where.authorize_url, where.token_url) == ("https://id.example.com/authorize", "https://id.example.com/token")
    assert (where.userinfo_url, where.jwks_url) == ("https://id.example.com/userinfo", JWKS)
    assert not where.names_issuer

    vendors.answers[DOCUMENT] = Said({**WHOLE, "issuer": ISSUER + "/"})
    assert endpoints(replace(OPENID, issuer=ISSUER + "/"), net, "corp")[0] == where
    assert vendors.targets == [DOCUMENT] * 2


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER.removeprefix("https://"),
        ISSUER.replace("https", "http"),
        "https://evil.example",
        "",
        None,
        ...,
        [ISSUER],
        1,
    ],
)
def test_a_document_of_another_issuer_is_refused(issuer: Any, net: Net) -> None:
    """D3: exactly the configured one, byte for byte."""
    with pytest.raises(Problem) as raised:
        found(net, issuer=issuer)
    assert raised.value.code == "oauth_exchange_failed"


BAD_URLS = [
    ...,
    None,
    "",
    1,
    [],
    ["https://id.example.com/x"],
    "http://id.example.com/x",
    "http://10.0.0.1/x",
    "http://127.0.0.1:8500/v1/agent",
    "http://localhost/x",
    "http://[::1]/x",
    "/x",
    "//id.example.com/x",
    "ftp://id.example.com/x",
    "javascript:alert(1)",
    "https://me:secret@id.example.com/x",
    "https://id.example.com/x#y",
    "https://id.example.com/\r\nX: y",
]


@pytest.mark.parametrize("url", BAD_URLS, ids=ascii)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_an_endpoint_that_is_not_https_is_refused(name: str, url: Any, net: Net) -> None:
    """Nor is one on this machine, unless the issuer itself is here: who publishes it does not choose what we call in here,
    with our secret."""
    with pytest.raises(Problem) as raised:
        found(net, **{name: url})
    assert raised.value.code == "oauth_exchange_failed"


@pytest.mark.parametrize("url", BAD_URLS, ids=ascii)
@pytest.mark.parametrize(("name", "field"), [("userinfo_endpoint", "userinfo_url"), ("jwks_uri", "jwks_url")])
def test_an_optional_endpoint_that_is_not_https_is_left_out_or_refused(name: str, field: str, url: Any, net: Net) -> None:
    """In no case is it called."""
    with suppress(Problem):
        assert getattr(found(net, **{name: url}), field) == ""


def test_an_issuer_on_this_machine_has_its_endpoints_here(net: Net, vendors: Vendors) -> None:
    """For trying things out: http is allowed where nothing leaves the machine."""
    here = "http://127.0.0.1:9000"
    moved = {name: value.replace("https://id.example.com", here) for name, value in WHOLE.items()}
    # The server takes down each target as https, whatever the scheme.
    vendors.answers["GET https://127.0.0.1:9000/tenant/.well-known/openid-configuration"] = Said(moved)
    where = endpoints(replace(OPENID, issuer=f"{here}/tenant"), net, "corp")[0]
    assert where.token_url == f"{here}/token"
    assert net.secured == []


@pytest.mark.parametrize(
    ("methods", "auth"),
    [
        (["client_secret_post", "client_secret_basic"], "post"),
        (["client_secret_post"], "post"),
        (["client_secret_basic"], "basic"),
        (["private_key_jwt"], "basic"),
        (..., "basic"),
        (None, "basic"),
        ("client_secret_post", "basic"),
        ({"client_secret_post": 1}, "basic"),
    ],
    ids=str,
)
def test_the_secret_goes_where_the_document_says(methods: Any, auth: str, net: Net) -> None:
    """RFC 8414 section 2: in the header where nothing is said."""
    assert found(net, token_endpoint_auth_methods_supported=methods).client_auth == auth


@pytest.mark.parametrize(("value", "names"), [(True, True), (False, False), (..., False), ("true", False), (1, False)])
def test_the_document_says_whether_answers_name_the_issuer(value: Any, names: bool, net: Net) -> None:
    """RFC 9207 section 3."""
    assert found(net, authorization_response_iss_parameter_supported=value).names_issuer is names


def test_what_is_declared_is_not_asked_for(net: Net, vendors: Vendors) -> None:
    """Apple's document once named another issuer than its tokens; others have none."""
    for name, preset in PRESETS.items():
        if not preset.discover or not preset.issuer:
            assert endpoints(preset, net, name)[0].token_url == preset.token_url
    assert vendors.asked == []


def test_half_of_the_threads_wait_and_no_more() -> None:
    """A slow provider never keeps everybody waiting: the next one is told when to come again, and a place that is given up
    is free, however it was."""
    providers = Providers({}, Slots(threads=8))
    with providers.waiting(), providers.waiting(), providers.waiting():
        with pytest.raises(ZeroDivisionError), providers.waiting():
            raise ZeroDivisionError
        with providers.waiting():
            with pytest.raises(Problem) as raised, providers.waiting():
                pytest.fail("a fifth waits")
            assert (raised.value.code, raised.value.retry_after) == ("busy", 5)
    with providers.waiting():
        pass


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_of_few_threads_one_may_wait(threads: int) -> None:
    """Never none."""
    providers = Providers({}, Slots(threads=threads))
    with providers.waiting(), pytest.raises(Problem), providers.waiting():
        pytest.fail("a second waits")


def test_places_are_counted_over_threads() -> None:
    """Of twenty that come at once, four get in."""
    providers = Providers({}, Slots(threads=8))
    inside, done, refused = threading.Semaphore(0), threading.Event(), []

    def come() -> None:
        try:
            with providers.waiting():
                inside.release()
                done.wait(30)
        except Problem:
            refused.append(1)
            inside.release()

    threads = [threading.Thread(target=come) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=30)
    done.set()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 16


FORK = """
import os, sys
from authsvc.problems import Problem
from authsvc.http.slots import Slots
from authsvc.providers.assembly import Providers

providers = Providers({}, Slots(threads=4))

def is_full():
    try:
        with providers.waiting():
            return False
    except Problem:
        return True

with providers.waiting(), providers.waiting():
    child = os.fork()
    if child == 0:
        with providers.waiting(), providers.waiting():
            os._exit(7 if is_full() else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert is_full()
assert not is_full()
"""


def test_a_child_has_all_places_free() -> None:
    """Threads that wait in the parent are not in the child, and would never give theirs back there; a child's own are bounded
    as the parent's, and neither takes the other's."""
    ran = subprocess.run(
        [sys.executable, "-c", FORK], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
