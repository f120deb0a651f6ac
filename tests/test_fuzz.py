"""Random requests to every route: whatever comes, the answer is one of the documented ones. FUZZ_EXAMPLES sets how many."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.app import App
from authsvc.config.limits import LIMITS
from authsvc.events import CLI
from authsvc.flows import challenges, users
from authsvc.http.shapes import Shape
from authsvc.primitives import codes, exposition, links
from authsvc.primitives.emails import Email
from authsvc.problems import KINDS
from authsvc.routes import ROUTES, Route
from authsvc.rules.challenges import MAGIC, RESET, UNDO, VERIFY
from tests.http.bare import Bare
from tests.support import PASSWORD, Answer, FakeWorld, running

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "80"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HTML = "text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
UNKNOWN = ("usr_00000000000000000000000000", "ses_00000000000000000000000000")

MARKUP = ("<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "$base ${title} $$ &amp; &#60;script>")
LATIN1 = st.text(alphabet=st.characters(max_codepoint=255), max_size=40)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)
NASTY = st.sampled_from(
    [
        "",
        *MARKUP,
        "\ud800",
        "a\udfff",
        "\x00",
        "\r\n",
        "'",
        "\u202e",
        "ﬁ",
        "İ",
        "on",
        "null",
        "x" * 300,
        "é" * 600,
        "😀" * 300,
        "-1",
        "1e999",
    ]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(10**4_000)]), st.floats(), ANY_TEXT, NASTY)
JSON_VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT | NASTY, inner, max_size=3), max_leaves=6
)
OWN_NAME, OWN_CHALLENGE, OWN_CODE = (
    "user-" + "z" * 16,
    "chl_" + "z" * 26,
    "246810",
)  # stand for those of the account that the request is made with
TARGETS = [
    *MARKUP,
    *("http://app.example/a?b=c#d", "http://app.example", "http://127.0.0.1:8000/account", "https://evil.example/", "//evil.example"),
    *("http://app.example/é", "http://app.example/\r\nX: y", "http://app.example@evil.example/", "javascript:alert(1)", "/account", "\\"),
]
RIGHT = {
    "email": st.sampled_from(
        [f"{OWN_NAME}@mail.com"] * 4 + ["example@mail.com", "new@mail.com", " New@Mail.com ", "ä@bücher.example", "a" * 60 + "@mail.com"]
    ),
    "password": st.sampled_from([PASSWORD, PASSWORD, "password123", "wrong-password-1", "é" * 20]),
    "current_password": st.sampled_from([PASSWORD, "wrong-password-1"]),
    "new_password": st.sampled_from(["copper-meadow-27", "password123", "short"]),
    "name": st.sampled_from(["Ann", " é ", "名前"]),
    "locale": st.sampled_from(["en", "pt-BR"]),
    "picture": st.sampled_from(["https://example.com/a.png"]),
    "phone_number": st.sampled_from(["+14155550100"]),
    "metadata": st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=3),
    "options": st.fixed_dictionaries(
        {}, optional={name: st.booleans() | JSON_VALUES for name in ("setCookie", "createUser", "verifyEmail", "sendEmail", "other")}
    ),
    "challenge_id": st.sampled_from([OWN_CHALLENGE, OWN_CHALLENGE, "chl_00000000000000000000000000", "chl_"]),
    "code": st.sampled_from([OWN_CODE, OWN_CODE, "000000", "00 00 00", "٠٠٠٠٠٠"]),
    "redirect_to": st.sampled_from(TARGETS),
}
HEADER_NAMES = [
    *("Accept-Language", "Authorization", "Cookie", "Forwarded", "Host", "If-Match", "Origin", "Referer", "Sec-Fetch-Site", "User-Agent"),
    *("X-Forwarded-For", "X-Request-Id", "Access-Control-Request-Method", "Transfer-Encoding", "Expect", "Content-Encoding"),
    *("Purpose", "Sec-Purpose"),
]
ACCEPTS = (
    st.sampled_from([None, None, "application/json", "*/*"] + ["text/html", BROWSER] * 2) | LATIN1 | LATIN1.map("text/html;q={}".format)
)
HEADER_VALUES = st.one_of(
    LATIN1,
    st.sampled_from(["de-AT, en;q=0.5", "prefetch"]),
    st.sampled_from(["null", "*", '"1.1.0"', "cross-site", "http://127.0.0.1:8000", "authsvc_access=a; authsvc_access=b", "1.2.3.4, ::1"]),
)
CONTENT_TYPES = st.sampled_from(["application/json"] * 6 + [FORM, "text/plain", "", "application/json; charset=\xff"])
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get", "", "\xff"])
DELAYS = st.sampled_from([0, 0, 0, 1, 31, 901, 1_000, 86_400, 31 * 86_400, -3_600])
CREDENTIALS = st.sampled_from(
    ["none", "access", "access", "access", "refresh", "admin", "spent", "mutated", "spliced", "forged", "text", "both"]
)
LINKS = {"/password/reset/:token": RESET, "/email/verify/:token": VERIFY, "/email/undo/:token": UNDO}
WITH_PAGE = {route.path for route in ROUTES if route.page is not None}
WITHIN = re.compile(r"/(?!/)|http://app\.example([/?#]|$)|http://127\.0\.0\.1:8000([/?#]|$)")  # where a browser may be sent
CARRIERS = st.sampled_from(["header", "header", "cookie", "cookies", "odd header"])


@dataclass(frozen=True)
class Tools:
    """The app under fire, and the account that nobody may touch."""

    app: App
    world: FakeWorld
    bystander: str


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    """One app for all requests, without limits, so that every request gets as far as it can."""
    world = FakeWorld()
    off = dict.fromkeys((f"limit_{name}" for name in LIMITS), "0")
    with running(tmp_path_factory.mktemp("fuzz"), world, trusted_proxies="192.0.2.0/24", app_origins="http://app.example", **off) as app:
        bystander = Bare(app).register("bystander@mail.com", name="Bystander")["user"]["id"]
        yield Tools(app, world, bystander)


@st.composite
def bodies(draw: st.DrawFn, shape: Shape) -> tuple[bytes, str]:
    """A body and its content type: right, nearly right, any JSON, any form, or spoiled bytes."""
    if draw(st.integers(0, 2)) == 0:
        right = {name: draw(RIGHT[name]) for name in shape.fields if name in RIGHT and draw(st.integers(0, 7))}
        if draw(st.booleans()):
            return json.dumps(right).encode(), "application/json"
        return urlencode({name: value for name, value in right.items() if isinstance(value, str)}).encode(), FORM
    names = st.sampled_from([*shape.fields, *sorted(shape.reserved)[:3], "other"])
    near = {name: draw(RIGHT.get(name, LEAVES) | JSON_VALUES if draw(st.booleans()) else RIGHT.get(name, LEAVES)) for name in shape.fields}
    kind = draw(st.sampled_from(["near", "near", "near", "part", "any", "form", "form", "spoiled", "bytes", "none"]))
    content_type = draw(CONTENT_TYPES)
    if kind == "form":
        fields = [(draw(names), draw(NASTY | LATIN1)) for _ in range(draw(st.integers(0, 4)))]
        fields += [(name, value) for name, value in near.items() if isinstance(value, str) and draw(st.booleans())]
        return urlencode(fields, errors="replace").encode(), FORM
    if kind == "bytes":
        return draw(st.binary(max_size=60)), content_type
    if draw(st.integers(0, 3)) == 0:
        near[draw(NASTY | ANY_TEXT)] = draw(LEAVES)
    value: Any = {"near": near, "part": {name: near[name] for name in near if draw(st.booleans())}, "none": None}.get(kind)
    if kind in {"any", "spoiled"}:
        value = draw(st.dictionaries(names | ANY_TEXT, JSON_VALUES, max_size=4) | JSON_VALUES)
    raw = b"" if kind == "none" else json.dumps(value).encode()
    if kind == "spoiled":
        place = draw(st.integers(0, len(raw)))
        raw = raw[:place] + draw(st.binary(min_size=1, max_size=6)) + raw[place + draw(st.integers(0, 3)) :]
    return raw, content_type


@st.composite
def forged_tokens(draw: st.DrawFn) -> str:
    """Three parts that look like a JWT, with any header and any claims."""
    header = {"alg": "HS256", "typ": "at+jwt", "kid": "AAAAAAAA"} | draw(
        st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64", "x5u", "zip"]), JSON_VALUES, max_size=3)
    )
    parts = [json.dumps(header).encode(), json.dumps(draw(JSON_VALUES)).encode(), draw(st.binary(max_size=40))]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@st.composite
def credentials(draw: st.DrawFn) -> tuple[str, str, str]:
    """What to show, how, and the text that spoils it."""
    kind = draw(CREDENTIALS)
    text = draw(forged_tokens()) if kind == "forged" else draw(LATIN1)
    return kind, draw(CARRIERS), text


@st.composite
def texts_of_paths(draw: st.DrawFn) -> str:
    """A path parameter as WSGI hands it over: bytes as Latin-1."""
    text = draw(
        st.sampled_from(
            ["own", "session", "link", "style.css", "bystander", *UNKNOWN, "not_found", "..", "%2e", "a\x00b", "'--", "", "x" * 3_000]
        )
        | ANY_TEXT
        | LATIN1
    )
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


QUERIES = st.one_of(
    st.just(""),
    LATIN1,
    st.sampled_from(
        ["limit=1", "limit=0&limit=1", "all=true", "all=1", "cursor=" + UNKNOWN[1], "limit=" + "9" * 5_000, "%ff", "a&a", "limit=%F0%9F"]
    ),
    st.dictionaries(
        st.sampled_from(["limit", "cursor", "all", "x", "redirect_to", "done", "_method"]),
        ANY_TEXT | NASTY | st.sampled_from(TARGETS),
        max_size=3,
    ).map(lambda values: "&".join(f"{name}={quote(value, errors='replace')}" for name, value in values.items())),
    st.sampled_from(TARGETS).map(lambda target: f"redirect_to={quote(target)}"),
    st.sampled_from(["PUT", "DELETE", "PUT&all=true", "DELETE&all=true", "GET", "POST", "PATCH", "put", "", "&", "PUT&_method=PUT"]).map(
        "_method={}".format
    ),
)
HEADERS = st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER_VALUES, max_size=3)


def shown(tools: Tools, client: Bare, credential: tuple[str, str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The headers that carry a credential of a fresh account, and the ids that a path may name."""
    kind, carrier, text = credential
    email = f"user-{tools.world.random_bytes(8).hex()}@mail.com"
    account = client.register(email)
    ids = {"name": email.partition("@")[0], "own": account["user"]["id"], "session": account["session_id"], "bystander": tools.bystander}
    if kind == "admin":
        users.change_roles(tools.app.core, ids["own"], CLI, grant=["admin"])
        account = client.login(email)
    access, refresh = account["access_token"], account["refresh_token"]
    if kind == "spent":
        client.get("/token/revoke", token=access)
    place = len(text) * 7 % len(access)
    token = {
        "refresh": refresh,
        "mutated": access[:place] + "A" + access[place + 1 :],
        "spliced": refresh[:-8] + text,
        "forged": text,
        "text": text,
        "both": f"{access}, Bearer {refresh}",
    }.get(kind, access)
    if kind == "none":
        return {}, ids
    if carrier.startswith("cookie"):
        pair = f"authsvc_access={token}; authsvc_refresh={refresh if kind == 'access' else token}"
        return {"Cookie": pair if carrier == "cookie" else f"{text}; {pair}; {text}"}, ids
    return {"Authorization": f"{'bEaReR  ' if carrier == 'odd header' else 'Bearer '}{token}"}, ids


def challenge(tools: Tools, user_id: str, path: str) -> tuple[str, str, str]:
    """What was mailed to an account for this path: the token of the link, the id of the challenge and its code."""
    core, kind = tools.app.core, LINKS.get(path, MAGIC)
    noted = {"redirect_to": "http://app.example/a", "create_user": True, "set_cookie": True, "locale_asked": None}
    with core.store.write() as tx:
        user = tx.users.get(user_id)
        assert user is not None
        made = challenges.make(core, kind, Email(user.email, user.email_key), user, **noted)
        tx.challenges.add(made)
    key = core.keyring.get(made.kid)
    assert key is not None
    return links.mint(key, made.id, kind.purpose), made.id, codes.code(key, made.id, made.sends)


def check(tools: Tools, method: str, answer: Answer, before: Any, *, may_touch: bool, accept: str, has_page: bool) -> None:
    """The answer is a documented one, the log clean, and the bystander as before. Only a path with pages answers with one; a
    refusal is one only for who prefers HTML."""
    lines = tools.world.lines
    assert answer.status < 500 or answer.status == 503, (answer, lines)
    assert len(lines) == 1, lines
    assert lines[0].isprintable()
    assert lines[0].isascii()
    if method == "HEAD" or answer.status == 204:
        assert answer.body == b""
    elif answer.status == 303:
        assert has_page
        assert answer.body == b""
        assert WITHIN.match(str(answer.header("Location")))
    elif answer.status == 302:  # the one redirect that is the same for everybody
        assert (answer.header("Location"), answer.body) == ("/account#password", b"")
    elif answer.header("Content-Type") == HTML:
        assert has_page if answer.status < 400 else "text/html" in accept
        assert answer.status < 400 or answer.status in {kind.status for kind in KINDS.values()}
        assert answer.body.startswith(b"<!doctype html>")
        assert answer.body.rstrip().endswith(b"</html>")
        assert not re.search(rb"<(script|img)|(href|src|action)=.javascript:|\$\$ [&]amp; ", answer.body)
    elif answer.header("Content-Type") == "text/css; charset=utf-8":
        assert answer.header("Cache-Control") == "public, max-age=3600"
    elif answer.header("Content-Type") == exposition.CONTENT_TYPE:
        assert answer.body.startswith(b"# HELP authsvc_")
    elif answer.status >= 400:
        problem = answer.json()
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.status in {KINDS[problem["code"]].status, 400}
        assert problem["status"] == answer.status
        assert problem["request_id"] == answer.header("X-Request-Id")
        assert len(answer.body) < 65_536
    else:
        assert answer.header("Content-Type") == "application/json"
        assert WITHIN.match(answer.json().get("redirect_to", "/"))
    assert may_touch or users.find(tools.app.core, tools.bystander) == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_any_request_to_a_route_gets_a_documented_answer(tools: Tools, route: Route) -> None:
    """Never a 5xx but 503; from 400 on always problem+json with a known code, or a page where one is wanted and there is one; no
    traceback in the log, nobody else touched."""

    @FUZZ
    @given(
        body=bodies(route.body),
        headers=HEADERS,
        credential=credentials(),
        parameter=texts_of_paths() | st.sampled_from(["own", "session", "link", "link"]),
        accept=ACCEPTS,
        query=QUERIES,
        delay=DELAYS,
        length=st.sampled_from([None] * 24 + ["", "0", "1", "-1", "9" * 30, "x", "0000000000000009"]),
    )
    def attack(**drawn: Any) -> None:
        fire(tools, route.method, route.path, drawn)

    attack()


@settings(FUZZ, max_examples=EXAMPLES * 3)
@given(
    method=METHODS,
    path=st.sampled_from([route.path for route in ROUTES])
    | LATIN1.map("/{}".format)
    | LATIN1
    | st.sampled_from(["//user", "/user/", "/../user"]),
    body=bodies(Shape({})),
    headers=HEADERS,
    credential=credentials(),
    parameter=texts_of_paths(),
    accept=ACCEPTS,
    query=QUERIES,
    delay=DELAYS,
    length=st.none(),
)
def test_any_method_and_path_gets_a_documented_answer(tools: Tools, method: str, path: str, **drawn: Any) -> None:
    """The same for methods that are none and paths that lead nowhere."""
    fire(tools, method, path, drawn)


def fire(tools: Tools, method: str, path: str, drawn: dict[str, Any]) -> None:
    """Send one drawn request and check what came of it."""
    client = Bare(tools.app)
    carried, ids = shown(tools, client, drawn["credential"])
    parameter = ids.get(drawn["parameter"], drawn["parameter"])
    raw, content_type = drawn["body"]
    link, challenge_id, code = challenge(tools, ids["own"], path)
    parameter = link if parameter == "link" else parameter
    raw = (
        raw.replace(OWN_NAME.encode(), ids["name"].encode())
        .replace(OWN_CHALLENGE.encode(), challenge_id.encode())
        .replace(OWN_CODE.encode(), code.encode())
    )
    environ = {"PATH_INFO": re.sub(r":\w+", lambda _: parameter, path), "QUERY_STRING": drawn["query"], "CONTENT_TYPE": content_type}
    if drawn["length"] is not None:
        environ["CONTENT_LENGTH"] = drawn["length"]
    before = users.find(tools.app.core, tools.bystander)
    now = tools.world.time
    tools.world.advance(drawn["delay"])
    tools.world.lines.clear()
    accepted = {} if drawn["accept"] is None else {"Accept": drawn["accept"]}
    answer = client.call(method, "/", raw=raw, headers=drawn["headers"] | accepted | carried, environ=environ)
    tools.world.time = now
    accept, may_touch = (drawn["accept"] or "").lower(), drawn["credential"][0] == "admin"
    check(tools, method, answer, before, may_touch=may_touch, accept=accept, has_page=path in WITH_PAGE)
