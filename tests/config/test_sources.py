"""Promises of config/sources.py: where a setting may be written, which place wins, and that every fault is told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from authsvc.config import sources
from authsvc.config.mail import Sender
from authsvc.config.parse import Limit
from authsvc.config.settings import PREFIX, Settings, declared
from authsvc.problems import Refused

FUZZ = hypothesis_settings(deadline=None)

KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "fedcba9876543210fedcba9876543210"
FILLED_IN = {
    "issuer": "http://127.0.0.1:8000",
    "audience": "http://127.0.0.1:8000",
    "mail_from": Sender("", "no-reply@[127.0.0.1]"),
}


def faults(**environ: str) -> list[str]:
    """What is refused about an environment, one fault a line."""
    with pytest.raises(Refused) as caught:
        sources.from_environment(environ)
    return lines(caught.value)


def faults_of_dict(values: dict[str, Any]) -> list[str]:
    with pytest.raises(Refused) as caught:
        sources.from_dict(values)
    return lines(caught.value)


def lines(refused: Refused) -> list[str]:
    first, *rest = str(refused).split("\n")
    assert first == "the settings are not usable:"
    assert all(line.startswith("  - ") for line in rest)
    return [line.removeprefix("  - ") for line in rest]


def write(folder: Path, content: str, name: str = "authsvc.toml") -> str:
    path = folder / name
    path.write_text(content, "utf-8")
    return str(path)


def test_an_empty_environment_is_a_workbench_of_defaults() -> None:
    """A newcomer sets nothing: every setting has a default; issuer and audience are the public URL, and mail is from its host."""
    settings = sources.from_environment({})

    assert settings.sources == {}
    assert settings.workbench
    for known in declared().values():
        assert value_of(settings, known.name) == FILLED_IN.get(known.name, known.parse(known.default))


def value_of(settings: Settings, name: str) -> Any:
    return settings.limits[name.removeprefix("limit_")] if name.startswith("limit_") else getattr(settings, name)


def test_the_environment_gives_settings_and_their_source() -> None:
    """`AUTHSVC_X` sets x, and what else is in the environment is not ours."""
    settings = sources.from_environment(
        {"AUTHSVC_THREADS": "3", "AUTHSVC_LIMIT_LOGIN": "1/2s", "THREADS": "9", "PATH": "/bin", "authsvc_threads": "9", "AUTHSVC": "x"}
    )

    assert settings.threads == 3
    assert settings.limits["login"] == Limit(1, 2)
    assert settings.sources == {"threads": "environment", "limit_login": "environment"}


def test_the_process_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is os.environ."""
    monkeypatch.setenv("AUTHSVC_THREADS", "3")

    assert sources.from_environment().threads == 3


def test_a_dict_ignores_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An embedded app takes what it is given and nothing else, so two apps of one process never mix."""
    monkeypatch.setenv("AUTHSVC_THREADS", "3")
    monkeypatch.setenv("AUTHSVC_ISSUER", "evil")
    monkeypatch.setenv("AUTHSVC_NONSENSE", "1")
    monkeypatch.setenv("AUTHSVC_CONFIG", write(tmp_path, "threads = 5\n"))

    one, two = sources.from_dict({}), sources.from_dict({"threads": 7, "limit_read": 0, "app_origins": ["https://a.example"]})

    assert (one.threads, one.issuer, dict(one.sources)) == (8, "http://127.0.0.1:8000", {})
    assert (two.threads, two.limits["read"], two.app_origins) == (7, Limit(0, 0), ("https://a.example",))
    assert two.sources == {"threads": "dict", "limit_read": "dict", "app_origins": "dict"}


def test_a_file_gives_settings_by_their_lower_case_names(tmp_path: Path) -> None:
    """The TOML file at AUTHSVC_CONFIG holds the same names in lower case."""
    path = write(tmp_path, 'threads = 3\nlimit_login = "1/2s"\n')

    settings = sources.from_environment({"AUTHSVC_CONFIG": path})

    assert (settings.threads, settings.limits["login"]) == (3, Limit(1, 2))
    assert settings.sources == {"threads": path, "limit_login": path}


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """What is in both counts from the environment, by value or by _FILE; what is only in the file stays."""
    path = write(tmp_path, f'threads = 3\naccess_seconds = 60\nlog = "json"\nsecret_key = "{OTHER_KEY}"\n')
    key = write(tmp_path, KEY + "\n", "key")

    settings = sources.from_environment({"AUTHSVC_CONFIG": path, "AUTHSVC_THREADS": "5", "AUTHSVC_SECRET_KEY_FILE": key})

    assert (settings.threads, settings.access_seconds, settings.log, settings.secret_key) == (5, 60, "json", KEY)
    assert settings.sources == {"threads": "environment", "access_seconds": path, "log": path, "secret_key": "AUTHSVC_SECRET_KEY_FILE"}


@pytest.mark.parametrize(
    ("toml", "name", "expected"),
    [
        ("threads = 3", "threads", 3),
        ('threads = "3"', "threads", 3),
        ("allow_http = true", "allow_http", True),
        ("allow_http = false", "allow_http", False),
        ('allow_http = "yes"', "allow_http", True),
        ("limit_login = 0", "limit_login", Limit(0, 0)),
        ('app_origins = ["https://a.example", "https://b.example"]', "app_origins", ("https://a.example", "https://b.example")),
        ('app_origins = "https://a.example,https://b.example"', "app_origins", ("https://a.example", "https://b.example")),
        ("app_origins = []", "app_origins", ()),
        (f'secret_key_previous = ["{KEY}", "{OTHER_KEY}"]', "secret_key_previous", (KEY, OTHER_KEY)),
        ('issuer = "urn:é"', "issuer", "urn:é"),
        ('issuer = """\nurn:us"""', "issuer", "urn:us"),
        ("password_min = 1_0", "password_min", 10),
    ],
)
def test_a_file_may_use_the_types_of_toml(tmp_path: Path, toml: str, name: str, expected: Any) -> None:
    """Numbers, booleans and lists stand for what one would write in a variable."""
    settings = sources.from_environment({"AUTHSVC_CONFIG": write(tmp_path, toml)})

    assert value_of(settings, name) == expected


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("threads = 3.0", "AUTHSVC_THREADS: use a whole number"),
        ("threads = true", "AUTHSVC_THREADS: use a whole number"),
        ("threads = [3]", None),
        ("threads = [3, 4]", "AUTHSVC_THREADS: use a whole number"),
        ("[threads]\nvalue = 3", "threads: use text, a number, yes or no, or a list"),
        ("[authsvc]\nthreads = 3", "authsvc: no such setting"),
        ("limit.login = 0", "limit: no such setting"),
        ("allow_http = 2", "AUTHSVC_ALLOW_HTTP: use yes or no"),
        ("treads = 3", "treads: no such setting; did you mean threads?"),
        ("THREADS = 3", "THREADS: no such setting; did you mean threads?"),
        ("AUTHSVC_THREADS = 3", "AUTHSVC_THREADS: no such setting; did you mean threads?"),
        ('config = "other.toml"', "config: no such setting"),
        ('secret_key_file = "/run/secrets/key"', "secret_key_file: no such setting"),
        ("threads = ", "AUTHSVC_CONFIG: {path} is not TOML"),
        ("threads = 3\nthreads = 4", "AUTHSVC_CONFIG: {path} is not TOML"),
        ("\0", "AUTHSVC_CONFIG: {path} is not TOML"),
    ],
)
def test_a_file_with_a_fault_is_refused(tmp_path: Path, toml: str, fault: str | None) -> None:
    """What cannot be meant is told with the name as it stands in the file, and with the right one where there is one."""
    path = write(tmp_path, toml)
    if fault is None:
        assert sources.from_environment({"AUTHSVC_CONFIG": path}).threads == 3
        return

    (told,) = faults(AUTHSVC_CONFIG=path)

    assert told.startswith(fault.format(path=path))


def test_a_fault_says_in_which_file_it_stands(tmp_path: Path) -> None:
    """A wrong value that did not come from the environment comes with its source."""
    path, key = write(tmp_path, "threads = 0\n"), write(tmp_path, "short", "key")

    assert faults(AUTHSVC_CONFIG=path, AUTHSVC_SECRET_KEY_FILE=key, AUTHSVC_LOG="xml") == [
        "AUTHSVC_SECRET_KEY: use at least 32 random bytes, such as the output of: openssl rand -hex 32 (from AUTHSVC_SECRET_KEY_FILE)",
        f"AUTHSVC_THREADS: use a whole number from 1 to 256 (from {path})",
        "AUTHSVC_LOG: use one of: text, json",
    ]


@pytest.mark.parametrize("where", ["missing.toml", "", "folder", "bytes"])
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, where: str) -> None:
    """A missing file, a folder or bytes that are no UTF-8 stop the start; an empty name means no file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b'issuer = "\xff"')
    if not where:
        assert sources.from_environment({"AUTHSVC_CONFIG": ""}).threads == 8
        return
    path = str(tmp_path / where)

    for variable in ("AUTHSVC_CONFIG", "AUTHSVC_SECRET_KEY_FILE"):
        (told,) = faults(**{variable: path})
        assert told.startswith(f"{variable}: cannot read {path} (")


@pytest.mark.parametrize(
    ("content", "expected"), [(KEY, KEY), (KEY + "\n", KEY), (KEY + "\r\n", KEY), (KEY + "\n\n", KEY), (f" {KEY} ", KEY)]
)
def test_a_value_may_stand_in_a_file_of_its_own(tmp_path: Path, content: str, expected: str) -> None:
    """Every AUTHSVC_X may be AUTHSVC_X_FILE, as container secrets are; the newline that editors add is not part of it."""
    path = tmp_path / "key"
    path.write_bytes(content.encode())

    settings = sources.from_environment({"AUTHSVC_SECRET_KEY_FILE": str(path)})

    assert settings.secret_key == expected
    assert settings.sources == {"secret_key": "AUTHSVC_SECRET_KEY_FILE"}


@pytest.mark.parametrize("name", sorted(declared()))
def test_every_setting_may_stand_in_a_file(tmp_path: Path, name: str) -> None:
    """No setting is without its _FILE, the limits included."""
    known = declared()[name]
    given = {"app_origins": "https://a.example", "trusted_proxies": "::1", "claims": "a=name", "mail_from": "a@b.example"}
    given |= {"mfa_trust": "corp,google", "webhook_networks": "10.0.0.0/8", "sms_countries": "+1,+49", "sms_headers": '{"X-Key": "a"}'}
    given |= {"captcha_verify_url": "https://captcha.example/verify"}
    text = known.default or given.get(name, "")
    text = text or ("" if name in ("cookie_domain", "disposable_domains") else KEY)
    path = write(tmp_path, text + "\n", "value")

    settings = sources.from_environment({known.variable + "_FILE": path})

    assert settings.sources == {name: known.variable + "_FILE"}
    assert value_of(settings, name) == known.parse(text)


def test_a_value_and_its_file_are_a_contradiction(tmp_path: Path) -> None:
    """Both given is a fault, whatever they say: nobody has to know which one wins."""
    path = write(tmp_path, "3", "threads")

    assert faults(AUTHSVC_THREADS="3", AUTHSVC_THREADS_FILE=path) == ["AUTHSVC_THREADS: give the value or the _FILE, not both"]
    assert faults(AUTHSVC_THREADS="5", AUTHSVC_THREADS_FILE=path) == ["AUTHSVC_THREADS: give the value or the _FILE, not both"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Every fault of every source in one message, so that a start is not tried a dozen times."""
    path = write(tmp_path, 'password_min = 0\ntreads = 1\nlog = ["x"]\n[issuer]\n')
    told = faults(
        AUTHSVC_CONFIG=path,
        AUTHSVC_THREADS="many",
        AUTHSVC_PUBLIC_URL="auth.example.com",
        AUTHSVC_NONSENSE="1",
        AUTHSVC_SECRET_KEY="short",
        AUTHSVC_LIMIT_LOGIN="often",
        AUTHSVC_ISSUER_FILE=str(tmp_path / "missing"),
        AUTHSVC_CLAIMS="iss=name",
        AUTHSVC_CLAIMS_FILE=path,
    )
    named = sorted(re.split(r"[: ]", line)[0].removeprefix(PREFIX).lower() for line in told)

    assert named == sorted(
        [
            "password_min",
            "treads",
            "log",
            "issuer",
            "threads",
            "public_url",
            "nonsense",
            "secret_key",
            "limit_login",
            "issuer_file",
            "claims",
            "claims",
        ]
    )


@pytest.mark.parametrize(
    ("wrong", "contradiction"),
    [
        ({"AUTHSVC_PUBLIC_URL": "http://auth.example.com", "AUTHSVC_MAIL": "console:"}, "AUTHSVC_PUBLIC_URL: use https"),
        ({"AUTHSVC_PUBLIC_URL": "https://auth.example.com"}, "AUTHSVC_MAIL: say where mail goes"),
        ({"AUTHSVC_MAIL": "smtps://mail.example.com?ca=missing.pem"}, "AUTHSVC_MAIL: there is no file missing.pem"),
        ({"AUTHSVC_HASH_MEMORY_KIB": "1025", "AUTHSVC_HASH_BUDGET_MIB": "1"}, "AUTHSVC_HASH_MEMORY_KIB: one hash needs more"),
        ({"AUTHSVC_HASH_MEMORY_KIB": "15", "AUTHSVC_HASH_PARALLELISM": "2"}, "AUTHSVC_HASH_MEMORY_KIB: Argon2 needs"),
        ({"AUTHSVC_COOKIE_DOMAIN": "example.com"}, "AUTHSVC_COOKIE_DOMAIN: 127.0.0.1 is not within example.com"),
    ],
)
def test_a_contradiction_is_told_beside_other_faults(wrong: dict[str, str], contradiction: str) -> None:
    """What two settings together make impossible is a fault like any other, and is told in the same message."""
    alone = faults(**wrong)
    together = faults(**wrong, AUTHSVC_THREADS="many", AUTHSVC_NONSENSE="1")

    assert [line[: len(contradiction)] for line in alone] == [contradiction]
    assert len(together) == 3
    assert alone[0] in together


def test_a_faulty_setting_makes_no_contradiction_of_its_own() -> None:
    """What could not be read is told once, and nothing is concluded from a default in its place."""
    told = faults(AUTHSVC_HASH_MEMORY_KIB="lots", AUTHSVC_HASH_BUDGET_MIB="1", AUTHSVC_PUBLIC_URL="x", AUTHSVC_COOKIE_DOMAIN="example.com")

    assert [line.split(":")[0] for line in told] == ["AUTHSVC_PUBLIC_URL", "AUTHSVC_HASH_MEMORY_KIB"]


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("AUTHSVC_TREADS", "AUTHSVC_TREADS: no such setting; did you mean AUTHSVC_THREADS?"),
        ("AUTHSVC_SECRETKEY", "AUTHSVC_SECRETKEY: no such setting; did you mean AUTHSVC_SECRET_KEY?"),
        ("AUTHSVC_LIMIT_LOGN", "AUTHSVC_LIMIT_LOGN: no such setting; did you mean AUTHSVC_LIMIT_LOGIN?"),
        ("AUTHSVC_PUBLIC_URI_FILE", "AUTHSVC_PUBLIC_URI_FILE: no such setting; did you mean AUTHSVC_PUBLIC_URL?"),
        ("AUTHSVC_XYZZY", "AUTHSVC_XYZZY: no such setting"),
        ("AUTHSVC_", "AUTHSVC_: no such setting"),
        ("AUTHSVC_CONFIG_FILE", "AUTHSVC_CONFIG_FILE: no such setting"),
        ("AUTHSVC_LIMITS", None),
        ("AUTHSVC_SOURCES", None),
        ("AUTHSVC___CLASS__", None),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(variable: str, told: str | None) -> None:
    """A misspelt name is never silently ignored; its value, which may be a secret, is not repeated."""
    (line,) = faults(**{variable: "hunter2-the-value"})

    assert "hunter2" not in line
    assert line.startswith(told or f"{variable}: no such setting")
    assert told is None or line == told or "did you mean" not in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("treads", "treads: no such setting; did you mean threads?"),
        ("THREADS", "THREADS: no such setting; did you mean threads?"),
        ("AUTHSVC_THREADS", "AUTHSVC_THREADS: no such setting; did you mean threads?"),
        ("authsvc_threads", "authsvc_threads: no such setting; did you mean threads?"),
        ("limits", "limits: no such setting"),
        ("xyzzy", "xyzzy: no such setting"),
        ("", ": no such setting"),
    ],
)
def test_an_unknown_name_in_a_dict_is_refused_with_a_name_that_a_dict_takes(name: str, told: str) -> None:
    """The suggestion is spelled as it would be accepted there: in lower case, without the prefix."""
    (line,) = faults_of_dict({name: 1})

    assert line.startswith(told)


@pytest.mark.parametrize(
    "value", [None, {}, {"a": 1}, b"bytes", {"a"}, object(), [["a"]], lambda: "a"], ids=lambda value: type(value).__name__
)
def test_a_dict_takes_no_value_that_is_no_text_number_flag_or_list(value: Any) -> None:
    """Something else is a slip of the program that embeds us (bytes, say), and is not turned into text."""
    (line,) = faults_of_dict({"issuer": value})

    assert line.startswith("issuer: use text, a number, yes or no, or a list")


def test_a_dict_takes_paths() -> None:
    """A path object is as good as its text."""
    assert sources.from_dict({"database": Path("/srv/authsvc.db")}).database == "/srv/authsvc.db"


def test_a_secret_is_masked_wherever_settings_are_shown() -> None:
    """`authsvc config` shows that a secret is set and where, and never what it is (ATTACKS F8)."""
    url = "smtps://mailer:hunter2@mail.example.com"
    settings = sources.from_dict({"secret_key": KEY, "secret_key_previous": [OTHER_KEY], "issuer": "urn:us", "mail": url})
    rows = {row["name"]: row for row in sources.show(settings)}

    assert (rows["AUTHSVC_SECRET_KEY"]["value"], rows["AUTHSVC_SECRET_KEY"]["source"]) == ("••••", "dict")
    assert rows["AUTHSVC_SECRET_KEY_PREVIOUS"]["value"] == rows["AUTHSVC_MAIL"]["value"] == "••••"
    assert rows["AUTHSVC_ISSUER"]["value"] == "urn:us"
    assert not any(secret in str(rows) for secret in (KEY, OTHER_KEY, "hunter2", "mailer"))
    assert sources.show(sources.from_dict({}))[1]["value"] == "", "a secret that is not given is not shown as one"


def test_a_secret_is_not_in_the_repr_of_settings() -> None:
    """A settings object that gets into a traceback or a log does not take the keys with it (ATTACKS F8)."""
    url = "smtps://mailer:hunter2@mail.example.com"
    settings = sources.from_dict({"secret_key": KEY, "secret_key_previous": [OTHER_KEY], "mail": url})

    assert not any(secret in shown for secret in (KEY, OTHER_KEY, "hunter2") for shown in (repr(settings), str(settings), f"{settings}"))


def test_a_fault_in_a_secret_does_not_show_it() -> None:
    """The message about a bad key or mail server goes to a log, so neither key nor password is in it."""
    url = "smtps://mailer:hunter2@mail.example.com/hunter2"
    told = faults(AUTHSVC_SECRET_KEY="hunter2", AUTHSVC_SECRET_KEY_PREVIOUS=f"{KEY},hunter2", AUTHSVC_MAIL=url)

    assert len(told) == 3
    assert "hunter2" not in str(told)
    assert KEY not in str(told)


def test_showing_has_every_setting_once_with_its_source() -> None:
    """One row for each setting, in the order of their declaration, with value, source, default and meaning."""
    settings = sources.from_environment({"AUTHSVC_THREADS": "3", "AUTHSVC_LIMIT_READ": "0"})
    rows = sources.show(settings)

    assert [row["name"] for row in rows] == [known.variable for known in declared().values()]
    assert {row["name"]: row["source"] for row in rows if row["source"] != "default"} == {
        "AUTHSVC_THREADS": "environment",
        "AUTHSVC_LIMIT_READ": "environment",
    }
    assert all(set(row) == {"name", "value", "source", "default", "doc"} and row["doc"] for row in rows)
    shown = {row["name"]: row["value"] for row in rows}
    assert (shown["AUTHSVC_THREADS"], shown["AUTHSVC_LIMIT_READ"], shown["AUTHSVC_ALLOW_HTTP"]) == ("3", "0", "no")


def test_what_is_shown_can_be_given_again() -> None:
    """The shown values are in the spelling of the settings themselves: given back with the secrets, which are not shown, they
    make the same settings."""
    settings = sources.from_dict(
        {
            "public_url": "https://auth.example.com/a",
            "app_origins": ["https://a.example", "https://b.example:8443"],
            "listen": "[::1]:80",
            "trusted_proxies": "10.0.0.0/8,fd00::/8",
            "claims": "org=app_metadata.org,nick=name",
            "cookie_domain": "example.com",
            "name": "Us & them",
            "mail": "console:",
            "mail_from": "Us & them <us@example.org>",
            "delivery": "off",
            "allow_http": True,
            "limit_login": "0",
            "limit_read": "5/6s",
        }
    )
    shown = {row["name"]: row["value"] for row in sources.show(settings)}
    again = sources.from_environment(shown | {"AUTHSVC_MAIL": "console:", "AUTHSVC_SMS": "off", "AUTHSVC_SMS_HEADERS": ""})

    assert {name: value for name, value in vars_of(again).items() if name != "sources"} == {
        name: value for name, value in vars_of(settings).items() if name != "sources"
    }


def vars_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.__slots__}


NAMES = st.sampled_from(sorted(declared()))
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=40) | st.sampled_from(
    [
        "yes",
        "0",
        "1",
        "10/60s",
        "https://a.example",
        "http://a.example/b",
        "::1",
        "a=name",
        KEY,
        "localhost:80",
        "1,2",
        "smtp://a:b@c.example?tls=none",
        "smtps://a:b@c.example:1?ca=x",
        "smtp://[",
        "file:x",
        "A <a@b.example>",
        "auto",
        "é" * 40,
        "\ud800",
    ]
)


@FUZZ
@given(st.dictionaries(NAMES, TEXTS, max_size=4))
def test_any_text_for_any_setting_gives_settings_or_is_refused(values: dict[str, str]) -> None:
    """Hostile text in a dict or in the environment is a Settings or a Refused that names the setting, never another error."""
    outcomes = []
    for read in (
        lambda: sources.from_dict(values),
        lambda: sources.from_environment({PREFIX + name.upper(): values[name] for name in values}),
    ):
        try:
            outcomes.append(vars_of(read()) | {"sources": None})
        except Refused as refused:
            told = lines_of_any(refused)
            outcomes.append({name for name in declared() if any(line.startswith(f"{PREFIX}{name.upper()}: ") for line in told)})
            assert outcomes[-1], told
    assert outcomes[0] == outcomes[1]


def lines_of_any(refused: Refused) -> list[str]:
    """Faults whose text may itself hold line breaks, since it quotes what was written."""
    return [line.removeprefix("  - ") for line in str(refused).split("\n")]


@FUZZ
@given(st.dictionaries(st.text(max_size=12).map(PREFIX.__add__), st.text("a/\n", max_size=5), min_size=1, max_size=3))
def test_any_name_with_our_prefix_is_known_or_refused(environ: dict[str, str]) -> None:
    """Whatever follows AUTHSVC_, it is a setting or it stops the start."""
    try:
        settings = sources.from_environment(environ)
    except Refused:
        return

    assert {name.removeprefix(PREFIX).lower() for name in environ} - {"config"} == set(settings.sources)


@FUZZ
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.from_regex(r'[a-z_]{1,8} = ("[a-z]*"|[0-9]+|\[[0-9,]*\]|true|\{\})\n', fullmatch=True)
)
def test_any_file_gives_settings_or_is_refused(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    """Hostile text in the TOML file is told as a fault, never as another error."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(content, "utf-8")
    try:
        settings = sources.from_environment({"AUTHSVC_CONFIG": str(path)})
    except Refused:
        return

    assert set(settings.sources.values()) <= {str(path)}
