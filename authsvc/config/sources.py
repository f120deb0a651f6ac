"""Where the settings come from: the environment, `_FILE`s, a TOML file or a dict; every fault is told at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsvc.config import captcha, oauth
from authsvc.config.mail import Sender, mail_domain
from authsvc.config.settings import LIMIT_PREFIX, PREFIX, Declared, Settings, declared
from authsvc.problems import Refused

FILE_SUFFIX = "_FILE"
CONFIG_FILE = PREFIX + "CONFIG"
_PLAIN = (str, int, float, os.PathLike)


@dataclass(frozen=True, slots=True)
class Given:
    """A setting's text as somebody wrote it, and where they wrote it."""

    text: str
    source: str


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of a process: the environment wins over the file named by AUTHSVC_CONFIG."""
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    given = _from_file(environ, faults) | _from_variables(environ, faults)
    return _settings(given, faults)


def from_dict(values: Mapping[str, Any]) -> Settings:
    """Settings of an embedded app, by their lower-case names. Nothing else is read, so two apps never mix."""
    faults: list[str] = []
    return _settings(_given(values, "dict", faults), faults)


def show(settings: Settings) -> list[dict[str, str]]:
    """Every setting with its value as text (secrets masked), its source and its meaning."""
    rows = []
    given = (name for name in settings.sources if oauth.split(name))
    for known in (*declared().values(), *(oauth.declared(name) for name in sorted(given))):
        if known is None:
            continue
        value = _value(settings, known)
        shown = ("••••" if value else "") if known.secret else _as_text(value)
        source = settings.sources.get(known.name, "default")
        rows.append({"name": known.variable, "value": shown, "source": source, "default": known.default, "doc": known.doc})
    return rows


def _from_variables(environ: Mapping[str, str], faults: list[str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_FILE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        from_file = not _is_known(name) and variable.endswith(FILE_SUFFIX)
        name = name.removesuffix(FILE_SUFFIX.lower()) if from_file else name
        if not _is_known(name):
            faults.append(_unknown(variable, PREFIX))
        elif name in given:
            faults.append(f"{PREFIX}{name.upper()}: give the value or the _FILE, not both")
        elif not from_file:
            given[name] = Given(environ[variable], "environment")
        elif (content := _read(environ[variable], variable, faults)) is not None:
            given[name] = Given(content, variable)
    return given


def _from_file(environ: Mapping[str, str], faults: list[str]) -> dict[str, Given]:
    path = environ.get(CONFIG_FILE)
    content = _read(path, CONFIG_FILE, faults) if path else None
    if content is None:
        return {}
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{CONFIG_FILE}: {path} is not TOML ({error})")
        return {}
    return _given(values, str(path), faults)


def _given(values: Mapping[str, Any], source: str, faults: list[str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name, value in values.items():
        if not _is_known(name):
            faults.append(_unknown(name, ""))
        elif not _is_plain(value):
            faults.append(f"{name}: use text, a number, yes or no, or a list")
        else:
            given[name] = Given(_as_text(value), source)
    return given


def _settings(given: Mapping[str, Given], faults: list[str]) -> Settings:
    values: dict[str, Any] = {}
    faulty: set[str] = set()
    of_providers = [known for name in sorted(given) if (known := oauth.declared(name))]
    for known in (*declared().values(), *of_providers):
        item = given.get(known.name, Given(known.default, "default"))
        try:
            values[known.name] = known.parse(item.text)
        except ValueError as error:
            faults.append(f"{known.variable}: {error}" + (f" (from {item.source})" if item.source != "environment" else ""))
            faulty.add(known.name)
            values[known.name] = known.parse(known.default)  # so that the rules between the others can be checked too
    settings = _assemble(values, {name: item.source for name, item in given.items()})
    faults.extend(_contradictions(settings, faulty))
    if faults:
        raise Refused("the settings are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return settings


def _assemble(values: dict[str, Any], sources: Mapping[str, str]) -> Settings:
    limits = {name.removeprefix(LIMIT_PREFIX): values.pop(name) for name in list(values) if name.startswith(LIMIT_PREFIX)}
    of_providers = {name: values.pop(name) for name in list(values) if oauth.split(name)}
    values["issuer"] = values["issuer"] or str(values["public_url"])
    values["audience"] = values["audience"] or str(values["public_url"])
    if not values["mail_from"].address:
        values["mail_from"] = Sender("", f"no-reply@{mail_domain(values['public_url'].host)}")
    return Settings(**values, limits=limits, oauth=oauth.clients(of_providers), sources=sources)


def _contradictions(settings: Settings, faulty: set[str]) -> list[str]:
    """Rules that hold between settings; production is stricter. Nothing is said of a setting that is at fault itself."""
    memory, lanes = settings.hash_memory_kib, settings.hash_parallelism
    domain, host = settings.cookie_domain, settings.public_url.host
    rules = (
        (
            memory > settings.hash_budget_mib * 1024,
            ("hash_memory_kib", "hash_budget_mib"),
            f"one hash needs more than {PREFIX}HASH_BUDGET_MIB allows",
        ),
        (memory < 8 * lanes, ("hash_memory_kib", "hash_parallelism"), "Argon2 needs 8 KiB for each lane (RFC 9106 section 3.1)"),
        (
            not (settings.workbench or settings.secure or settings.allow_http),
            ("public_url", "allow_http"),
            f"use https (or {PREFIX}ALLOW_HTTP=yes inside a private network)",
        ),
        (
            not settings.workbench and "mail" not in settings.sources,
            ("mail", "public_url"),
            "say where mail goes, such as smtp://user:password@mail.example.com:587 (console: puts it into the log)",
        ),
        (bool(settings.mail.ca) and not os.path.isfile(settings.mail.ca), ("mail",), f"there is no file {settings.mail.ca}"),
        (
            settings.sms.scheme == "twilio" and not settings.sms_from,
            ("sms_from", "sms"),
            "Twilio needs a sender: a number or a messaging service",
        ),
        (
            settings.signup == "domains" and not settings.signup_domains,
            ("signup", "signup_domains"),
            f"say which in {PREFIX}SIGNUP_DOMAINS",
        ),
        (bool(domain) and not f".{host}".endswith(f".{domain}"), ("cookie_domain", "public_url"), f"{host} is not within {domain}"),
        *captcha.contradictions(settings),
    )
    return [f"{PREFIX}{names[0].upper()}: {why}" for broken, names, why in rules if broken and not faulty & set(names)]


def _is_known(name: str) -> bool:
    return name in declared() or oauth.split(name) is not None


def _unknown(name: str, prefix: str) -> str:
    """The fault of a name that no setting has, with the nearest one as it would be spelled there."""
    close = difflib.get_close_matches(name.lower().removeprefix(PREFIX.lower()), declared(), n=1)
    spelled = (prefix + close[0].upper() if prefix else close[0]) if close else ""
    return f"{name}: no such setting" + (f"; did you mean {spelled}?" if spelled else "")


def _is_plain(value: Any) -> bool:
    """What TOML can say of a setting: text, a number, yes or no, or a list of such. A program may also give a path."""
    if isinstance(value, list | tuple):
        return all(isinstance(item, _PLAIN) for item in value)
    return isinstance(value, _PLAIN)


def _read(path: str, variable: str, faults: list[str]) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{variable}: cannot read {path} ({error})")
        return None


def _value(settings: Settings, known: Declared) -> Any:
    if known.name.startswith(LIMIT_PREFIX):
        return settings.limits[known.name.removeprefix(LIMIT_PREFIX)]
    found = oauth.split(known.name)
    return getattr(settings.oauth[found[0]], found[1]) if found else getattr(settings, known.name)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)
