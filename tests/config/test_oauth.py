"""Promises of config/oauth.py: providers are declared by name and part, every fault is told at the start, and secrets are masked."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from authsvc.config import oauth, sources
from authsvc.config.oauth import PARTS, Member
from authsvc.config.urls import provider_url
from authsvc.http.slots import Slots
from authsvc.problems import Refused
from authsvc.providers import assembly
from authsvc.providers.presets import PRESETS
from authsvc.providers.provider import Provider
from tests.support import FakeWorld

SECRET = "hunter2-of-the-provider"
GENERIC = {"authorize_url": "https://id.example.com/a", "token_url": "https://id.example.com/t", "userinfo_url": "https://id.example.com/u"}


def named(name: str, **parts: str) -> dict[str, str]:
    return {f"oauth_{name}_{part}": value for part, value in parts.items()}


def assembled(values: dict[str, Any]) -> dict[str, Provider]:
    found = assembly.providers(sources.from_dict(values), FakeWorld(), Slots(threads=8))
    return {one.name: one for one in found.every()}


def told(values: dict[str, Any]) -> str:
    """What is wrong with them, in one refusal."""
    with pytest.raises(Refused) as refused:
        assembled(values)
    return str(refused.value)


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(
    ("name", "found"),
    {
        "oauth_google_client_id": ("google", "client_id"),
        "oauth_corp_sso_client_id": ("corp_sso", "client_id"),
        "oauth_my_client_client_id": ("my_client", "client_id"),
        "oauth_private_key_id": ("private", "key_id"),
        "oauth_apple_private_key": ("apple", "private_key"),
        "oauth_apple_key_id": ("apple", "key_id"),
        "oauth_apple_team_id": ("apple", "team_id"),
        "oauth_token_token_url": ("token", "token_url"),
        "oauth_token_url_token_url": ("token_url", "token_url"),
        "oauth_x_scopes": ("x", "scopes"),
        "oauth_oauth_title": ("oauth", "title"),
        "oauth_x2_y3_pkce": ("x2_y3", "pkce"),
        "oauth_links_issuer": ("links", "issuer"),
        "oauth_client_id": None,
        "oauth__client_id": None,
        "oauth_client_secret": None,
        "oauth_google": None,
        "oauth_google_": None,
        "oauth_google_id": None,
        "oauth_google_clientid": None,
        "oauth_google__client_id": None,
        "oauth_google_client_id_": None,
        "oauth_2x_client_id": None,
        "oauth_a-b_client_id": None,
        "oauth_a/b_client_id": None,
        "oauth_a.b_client_id": None,
        "oauth_ä_client_id": None,
        "oauth_x\n_client_id": None,
        "oauth_link_client_id": None,
        "oauth_" + "a" * 31 + "_client_id": None,
        "oauth_" + "a" * 30 + "_client_id": ("a" * 30, "client_id"),
        "oauthx_google_client_id": None,
        "OAUTH_GOOGLE_CLIENT_ID": None,
        "": None,
    }.items(),
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_name_is_split_in_one_way(name: str, found: tuple[str, str] | None) -> None:
    """The longest part at its end; what is left is a name that can stand in a path, and is not one of our own paths."""
    assert oauth.split(name) == found


@given(st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,5}){0,2}", fullmatch=True), st.sampled_from(sorted(PARTS)))
def test_no_part_is_lost_in_a_name(provider: str, part: str) -> None:
    """Whatever a provider is called: its name and part come back, or those of a longer ending; never nothing, never an exception."""
    found = oauth.split(f"oauth_{provider}_{part}")
    if provider == "link":
        assert found is None
        return
    assert found is not None
    assert f"{found[0]}_{found[1]}" == f"{provider}_{part}"
    assert len(found[1]) >= len(part)


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    """A ValueError for every part where it is not right; nothing else is raised."""
    oauth.split("oauth_" + text)
    for part in PARTS.values():
        with suppress(ValueError):
            part.parse(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com/realms/a?b=c",
        "https://id.example.com:8443/x",
        "https://[2001:db8::1]/x",
        "http://127.0.0.1:9000/x",
        "http://localhost:9000",
        "http://[::1]:9000/x",
        "HTTPS://ID.example.com/X",
    ],
)
def test_a_url_is_kept_as_it_is_written(url: str) -> None:
    """An issuer is compared byte for byte: neither case nor slash is put right."""
    assert provider_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "id.example.com",
        "/x",
        "//id.example.com/x",
        "http://id.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "ftp://id.example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://:443/x",
        "https:id.example.com",
        "https://me:secret@id.example.com",
        "https://me@id.example.com",
        "https://id.example.com/#x",
        "https://id.example.com/#",
        "https://id.example.com/a b",
        "https://id.example.com/a\nb",
        "https://id.example.com\\@evil.example",
        "https://id.example.com:port",
        "https://id.example.com:99999",
        "https://[::1",
        "https://id.exämple.com",
        "https://id.example.com/\x7f",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """Absolute, https (http on this machine), without credentials and fragment (RFC 6749 section 3.1)."""
    with pytest.raises(ValueError, match="https://"):
        provider_url(url)


def test_parts_are_parsed() -> None:
    """Each into its type, with the defaults for those that are not given."""
    given_ = named(
        "corp",
        client_id=" id ",
        client_secret=SECRET,
        scopes="openid, email  profile",
        fields="subject=id, email=user.mail,name=user.0.full_name",
        pkce="off",
        client_auth="basic",
        response_mode="form_post",
        trust_email="no",
        tenant="ORGANIZATIONS",
        title="Corp SSO",
        **GENERIC,
    )
    client = sources.from_dict(given_).oauth["corp"]
    assert (client.client_id, client.client_secret, client.title) == ("id", SECRET, "Corp SSO")
    assert client.scopes == ("openid", "email", "profile")
    assert client.fields == (Member("subject", ("id",)), Member("email", ("user", "mail")), Member("name", ("user", "0", "full_name")))
    assert (client.pkce, client.client_auth, client.response_mode, client.trust_email) == ("off", "basic", "form_post", False)
    assert client.tenant == "organizations"

    plain = sources.from_dict(named("google", client_id="id")).oauth["google"]
    assert (plain.pkce, plain.client_auth, plain.response_mode, plain.trust_email, plain.tenant) == ("auto", "auto", "auto", True, "")
    assert (plain.scopes, plain.fields, plain.issuer) == ((), (), "")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("scopes", 'a"b'),
        ("scopes", "a\\b"),
        ("scopes", "ä"),
        ("fields", "subject"),
        ("fields", "subject="),
        ("fields", "=id"),
        ("fields", "sub=id"),
        ("fields", "subject=a..b"),
        ("fields", "subject=a b"),
        ("fields", "subject=id,subject=uid"),
        ("fields", "phone=x"),
        ("pkce", "plain"),
        ("pkce", "yes"),
        ("client_auth", "none"),
        ("response_mode", "fragment"),
        ("trust_email", "maybe"),
        ("tenant", "contoso.com"),
        ("tenant", "../common"),
        ("tenant", "72f988bf-86f1-41af-91ab-2d7cd011db4"),
        ("issuer", "http://id.example.com"),
        ("authorize_url", "javascript:alert(1)"),
        ("token_url", "id.example.com"),
        ("userinfo_url", "https://me:secret@id.example.com"),
    ],
)
def test_a_bad_value_is_told_by_its_variable(part: str, value: str) -> None:
    """In the words of who set it."""
    assert f"AUTHSVC_OAUTH_CORP_{part.upper()}: " in told(named("corp", client_id="id", **{**GENERIC, part: value}))


def test_an_unknown_part_is_told() -> None:
    """A slip of the pen is no provider without a secret."""
    with pytest.raises(Refused, match="AUTHSVC_OAUTH_GOOGLE_CLIENTSECRET: no such setting"):
        sources.from_environment({"AUTHSVC_OAUTH_GOOGLE_CLIENT_ID": "id", "AUTHSVC_OAUTH_GOOGLE_CLIENTSECRET": "x"})
    with pytest.raises(Refused, match="AUTHSVC_OAUTH_LINK_CLIENT_ID: no such setting"):
        sources.from_environment({"AUTHSVC_OAUTH_LINK_CLIENT_ID": "id"})


@pytest.mark.parametrize(
    ("values", "words"),
    {
        "no id": (named("google", client_secret=SECRET), ["GOOGLE", "CLIENT_ID"]),
        "no URLs": (named("corp", client_id="id"), ["CORP", "ISSUER", "AUTHORIZE_URL"]),
        "one URL": (named("corp", client_id="id", token_url="https://x.example/t"), ["CORP", "USERINFO_URL"]),
        "no userinfo": (named("corp", client_id="id", **{**GENERIC, "userinfo_url": ""}), ["CORP", "USERINFO_URL"]),
        "github with an issuer": (named("github", client_id="id", issuer="https://x.example"), ["GITHUB", "OpenID"]),
        "no openid": (named("corp", client_id="id", issuer="https://x.example", scopes="email"), ["CORP", "SCOPES", "openid"]),
        "no openid for a preset": (named("google", client_id="id", scopes="email"), ["GOOGLE", "SCOPES", "openid"]),
        "apple without anything": (named("apple", client_id="id"), ["APPLE", "TEAM_ID", "KEY_ID", "PRIVATE_KEY"]),
        "apple without its team": (
            named("apple", client_id="id", key_id="K", private_key=pem(ec.generate_private_key(ec.SECP256R1()))),
            ["APPLE", "TEAM_ID"],
        ),
        "a key that is none": (named("apple", client_id="id", team_id="T", key_id="K", private_key="hunter2"), ["APPLE", "private key"]),
        "an RSA key": (
            named("apple", client_id="id", team_id="T", key_id="K", private_key=pem(rsa.generate_private_key(65537, 2048))),
            ["APPLE", "private key"],
        ),
        "a P-384 key": (
            named("apple", client_id="id", team_id="T", key_id="K", private_key=pem(ec.generate_private_key(ec.SECP384R1()))),
            ["APPLE", "private key"],
        ),
        "an Ed25519 key": (
            named("apple", client_id="id", team_id="T", key_id="K", private_key=pem(ed25519.Ed25519PrivateKey.generate())),
            ["APPLE", "private key"],
        ),
        "trust in nobody": ({"mfa_trust": "corp"}, ["AUTHSVC_MFA_TRUST", "corp"]),
    }.values(),
)
def test_a_provider_that_cannot_work_stops_the_start(values: dict[str, str], words: list[str]) -> None:
    """Told by name and with what is missing; the secret and the key are not repeated."""
    message = told(values)
    assert not [word for word in words if word.lower() not in message.lower()]
    assert message.count("\n  - ") == 1
    assert not [secret for secret in (SECRET, "hunter2", "BEGIN PRIVATE", "MII") if secret in message]


def test_a_private_key_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cryptography nothing can be signed; the message says what to install."""
    monkeypatch.setattr(assembly, "has_crypto", lambda: False)
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    assert "'.[crypto]'" in told(named("apple", client_id="id", team_id="T", key_id="K", private_key=key))


def test_all_faults_are_told_at_once() -> None:
    """One start, one list: nobody mends them one by one."""
    values = named("corp", client_id="id") | named("google", title="x") | named("apple", client_id="id")
    message = told(values | named("github", client_id="id", issuer="https://x.example") | {"mfa_trust": "nobody"})
    assert message.count("\n  - ") == 5
    for word in ("CORP", "GOOGLE", "APPLE", "GITHUB", "nobody"):
        assert word in message


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"apple"}))
def test_a_preset_needs_an_id_and_a_secret_only(name: str) -> None:
    """CONTRACT section 6; its title is on the button unless one is given."""
    assert assembled(named(name, client_id="id", client_secret=SECRET))[name].title == PRESETS[name].title
    assert assembled(named(name, client_id="id", client_secret=SECRET, title="Ours"))[name].title == "Ours"


def test_providers_stand_in_the_order_of_their_names() -> None:
    """Whatever the order in which they are declared."""
    values = named("x", client_id="id") | named("google", client_id="id") | named("corp", client_id="id", issuer="https://x.example")
    assert list(assembled(values)) == ["corp", "google", "x"]
    assert assembled({}) == {}
    assert assembled(values)["corp"].title == "corp"


def test_what_the_settings_say_stands_above_the_preset() -> None:
    """Each of its values can be replaced; nothing of the public server's is left where another issuer is named."""
    preset = assembled(
        named(
            "microsoft", client_id="id", issuer="https://login.example.com/v2", pkce="off", response_mode="form_post", scopes="openid mail"
        )
    )["microsoft"].preset
    assert (preset.issuer, preset.authorize_url, preset.token_url, preset.jwks_url) == ("https://login.example.com/v2", "", "", "")
    assert (preset.discover, preset.pkce, preset.form_post, preset.scopes) == (True, False, True, ("openid", "mail"))

    slack = assembled(named("slack", client_id="id", pkce="on"))["slack"].preset
    assert slack.pkce
    apple = assembled(named("apple", client_id="id", client_secret=SECRET, response_mode="query"))["apple"].preset
    assert not apple.form_post


def test_config_shows_the_parts_and_masks_the_secrets() -> None:
    """A row for each part that was given, with its source; of a secret that it is there."""
    values = named("apple", client_id="the-id", client_secret=SECRET, private_key="hunter2", scopes="name email")
    rows = {row["name"]: row for row in sources.show(sources.from_dict(values))}

    assert rows["AUTHSVC_OAUTH_APPLE_CLIENT_ID"]["value"] == "the-id"
    assert rows["AUTHSVC_OAUTH_APPLE_CLIENT_ID"]["source"] == "dict"
    assert rows["AUTHSVC_OAUTH_APPLE_SCOPES"]["value"] == "name,email"
    assert rows["AUTHSVC_OAUTH_APPLE_CLIENT_SECRET"]["value"] == rows["AUTHSVC_OAUTH_APPLE_PRIVATE_KEY"]["value"] == "••••"
    assert {name for name in rows if name.startswith("AUTHSVC_OAUTH_")} == {"AUTHSVC_" + name.upper() for name in values}
    assert not re.search("hunter2", str(rows))


def test_no_secret_is_in_what_is_printed_of_the_settings() -> None:
    """Neither in repr of the settings nor in that of a client: a traceback or a debugger shows it otherwise."""
    settings = sources.from_dict(named("apple", client_id="id", client_secret=SECRET, private_key="hunter2-key"))
    assert SECRET not in repr(settings.oauth["apple"])
    assert "hunter2-key" not in repr(settings)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """By _FILE, in whole: a key of several lines, too. The value beside it is a fault."""
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "key").write_text(key)
    (tmp_path / "secret").write_text(SECRET + "\n")
    environ = {
        "AUTHSVC_OAUTH_APPLE_CLIENT_ID": "id",
        "AUTHSVC_OAUTH_APPLE_PRIVATE_KEY_FILE": str(tmp_path / "key"),
        "AUTHSVC_OAUTH_GOOGLE_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    settings = sources.from_environment(environ)
    assert settings.oauth["apple"].private_key == key.strip()
    assert settings.oauth["google"].client_secret == SECRET
    assert settings.sources["oauth_google_client_secret"] == "AUTHSVC_OAUTH_GOOGLE_CLIENT_SECRET_FILE"

    with pytest.raises(Refused, match="AUTHSVC_OAUTH_GOOGLE_CLIENT_SECRET: give the value or the _FILE, not both"):
        sources.from_environment(environ | {"AUTHSVC_OAUTH_GOOGLE_CLIENT_SECRET": "x"})
    with pytest.raises(Refused, match="cannot read"):
        sources.from_environment({"AUTHSVC_OAUTH_GOOGLE_CLIENT_SECRET_FILE": str(tmp_path / "none")})


def test_a_toml_file_declares_providers(tmp_path: Path) -> None:
    """By the lower-case names; lists are lists, and the environment wins."""
    path = tmp_path / "authsvc.toml"
    path.write_text('oauth_corp_client_id = "a"\noauth_corp_issuer = "https://x.example"\noauth_corp_scopes = ["openid", "mail"]\n')
    settings = sources.from_environment({"AUTHSVC_CONFIG": str(path), "AUTHSVC_OAUTH_CORP_CLIENT_ID": "b"})
    client = settings.oauth["corp"]
    assert (client.client_id, client.issuer, client.scopes) == ("b", "https://x.example", ("openid", "mail"))
    assert settings.sources["oauth_corp_issuer"] == str(path)
