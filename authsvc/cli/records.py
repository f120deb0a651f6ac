"""The lines of an export: which there are, and how each is read. README.md describes them to other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc.flows.enrolment import MOST_FACTORS, default_label
from authsvc.flows.newcomers import Newcomer, NewFactor, NewIdentity, NewRole
from authsvc.flows.signup import PHONE_KEY
from authsvc.handlers import fields
from authsvc.http import body, shapes
from authsvc.http.parsers import parser
from authsvc.http.shapes import Field, Shape
from authsvc.primitives import totp
from authsvc.primitives.emails import Email
from authsvc.primitives.ids import USER, is_id
from authsvc.primitives.passwords import Hasher
from authsvc.problems import Invalid, Problem, invalid
from authsvc.rules.access import BUILT_IN_ROLES
from authsvc.store.users import ACTIVE

VERSION = 1
MOST_BYTES = body.MAX_BYTES  # of a line
MOST_IDENTITIES = 20
IDENTITY_KEY, ID_KEY = "idn:", "usr:"  # as signup.PHONE_KEY
UNUSABLE = "!"  # what Django puts before a password that nobody has
FACTORS = ("totp", "sms", "email")


@parser(type="string", maxLength=40)
def _user_id(value: Any) -> str:
    text = shapes.raw_text(value, most=40)
    if not is_id(text, USER):
        raise Invalid("invalid", "An id is one that authsvc made. Leave it out, and one is made; keep your own in app_metadata.")
    return text


@parser(type="string", maxLength=200)
def _secret(value: Any) -> bytes:
    return totp.read(shapes.raw_text(value, most=200))


@parser(**fields.role.schema)
def _own_role(value: Any) -> str:
    name: str = fields.role(value)
    if name in BUILT_IN_ROLES:
        raise Invalid("not_allowed", f"The role {name} is built in.")
    return name


_text = shapes.text(most=200)
_word = shapes.matching(r"[a-z][a-z0-9_]{0,62}", "The name of a provider in the settings.", most=63)
_opaque = shapes.matching(r"[\x20-\x7e]{1,255}", "Up to 255 printable ASCII characters.", most=255)

HEADER = Shape(
    {
        "authsvc": Field(shapes.choice("export"), required=True),
        "version": Field(shapes.whole(1, 1_000_000), required=True),
        "exported_at": Field(fields.moment),
        "service": Field(_text),
    }
)
END = Shape({"type": Field(shapes.choice("end")), "roles": Field(shapes.whole(0, 10**9)), "users": Field(shapes.whole(0, 10**9))})
ROLE = Shape(
    {
        "type": Field(shapes.choice("role")),
        "name": Field(_own_role, required=True),
        "description": Field(shapes.text(most=200, least=0), default=""),
        "caps": Field(fields.caps, required=True),
    }
)
IDENTITY = Shape(
    {
        "provider": Field(_word, required=True),
        "realm": Field(_opaque),
        "subject": Field(_opaque, required=True),
        "email": Field(fields.email),
        "email_verified": Field(shapes.flag, default=False),
        "created_at": Field(fields.moment),
        "last_used_at": Field(fields.moment),
    }
)
FACTOR = Shape(
    {
        "type": Field(shapes.choice(*FACTORS), required=True),
        "label": Field(_text),
        "phone_number": Field(fields.phone_number),
        "secret": Field(_secret),
        "created_at": Field(fields.moment),
        "last_used_at": Field(fields.moment),
    }
)
USER_RECORD = Shape(
    {
        "type": Field(shapes.choice("user")),
        "id": Field(_user_id),
        "email": Field(fields.email),
        "email_verified": Field(shapes.flag, default=False),
        "phone_number": Field(fields.phone_number),
        "phone_number_verified": Field(shapes.flag, default=False),
        "name": Field(fields.name),
        "picture": Field(fields.picture),
        "locale": Field(fields.locale),
        "status": Field(fields.status, default=ACTIVE),
        "password_hash": Field(shapes.raw(most=2_000)),
        "roles": Field(fields.roles, default=()),
        "metadata": Field(fields.metadata, default={}),
        "app_metadata": Field(fields.metadata, default={}),
        "created_at": Field(fields.moment),
        "updated_at": Field(fields.moment),
        "last_login_at": Field(fields.moment),
        "identities": Field(shapes.several(shapes.nested(IDENTITY), most=MOST_IDENTITIES), default=()),
        "factors": Field(shapes.several(shapes.nested(FACTOR), most=MOST_FACTORS), default=()),
    }
)


def header(line: bytes) -> dict[str, Any]:
    """The first line; raises a Problem for what is no export, or one of a later form."""
    read = HEADER.parse(_object(line))
    if read["version"] > VERSION:
        raise invalid("version", "not_allowed", f"This was written by a newer authsvc (form {read['version']}, this one knows {VERSION}).")
    return read


def record(line: bytes, hasher: Hasher, realms: Mapping[str, str]) -> Newcomer | NewRole | dict[str, Any]:
    """Any other line; the last one as the numbers that it holds. `realms`: of the providers that are set up, for identities that
    name none. Raises a Problem."""
    given = _object(line)
    match given.get("type"):
        case "role":
            read = ROLE.parse(given)
            return NewRole(read["name"], read["description"], read["caps"])
        case "user":
            return _user(USER_RECORD.parse(given), hasher, realms)
        case "end":
            return END.parse(given)
    raise invalid("type", "not_allowed", "One of: role, user, end.")


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MOST_BYTES:
        raise Problem("invalid_json", f"A line has at most {MOST_BYTES} bytes.")
    return body.parse_json(line)


def _user(read: dict[str, Any], hasher: Hasher, realms: Mapping[str, str]) -> Newcomer:
    email, number = read["email"], read["phone_number"]
    identities = _identities(read["identities"], realms)
    if read["email_verified"] and email is None:
        raise invalid("email_verified", "not_allowed", "There is no address.")
    if read["phone_number_verified"] and number is None:
        raise invalid("phone_number_verified", "not_allowed", "There is no number.")
    return Newcomer(
        id=read["id"],
        email=email or Email("", _stand_in(read, identities)),
        email_verified=read["email_verified"],
        phone_number=number,
        phone_number_verified=read["phone_number_verified"],
        profile={name: read[name] for name in ("name", "picture", "locale", "status")},
        password_hash=_password_hash(read["password_hash"], hasher),
        roles=read["roles"],
        metadata=read["metadata"],
        app_metadata=read["app_metadata"],
        created_at=read["created_at"],
        updated_at=read["updated_at"],
        last_login_at=read["last_login_at"],
        identities=identities,
        factors=[_factor(one, number, has_address=email is not None) for one in read["factors"]],
    )


def _stand_in(read: dict[str, Any], identities: list[NewIdentity]) -> str:
    """What an account without an address is known by in its place: the same each time, and nobody else's."""
    if read["phone_number"] and read["phone_number_verified"]:
        return PHONE_KEY + str(read["phone_number"])
    if identities:
        first = min(identities, key=lambda one: (one.provider, one.realm, one.subject))
        return f"{IDENTITY_KEY}{first.provider} {first.realm} {first.subject}"
    if read["id"]:
        return f"{ID_KEY}{read['id']}"
    raise invalid("email", "required", "An account has an address, or else a verified phone number or an identity.")


def _password_hash(text: str | None, hasher: Hasher) -> str | None:
    if not text or text.startswith(UNUSABLE):
        return None
    try:
        return hasher.admit(text)
    except Invalid as fault:
        raise invalid("password_hash", fault.code, fault.detail) from None


def _identities(read: list[dict[str, Any]], realms: Mapping[str, str]) -> list[NewIdentity]:
    if len({one["provider"] for one in read}) < len(read):
        raise invalid("identities", "not_allowed", "One identity of each provider.")
    return [_identity(one, realms) for one in read]


def _identity(read: dict[str, Any], realms: Mapping[str, str]) -> NewIdentity:
    realm = read["realm"] or realms.get(read["provider"])
    if realm is None:
        detail = "Name it (the provider's issuer), or set the provider up first."
        raise invalid("identities.realm", "required", detail)
    email = read["email"].address if read["email"] else None
    return NewIdentity(read["provider"], realm, read["subject"], email, read["email_verified"], read["created_at"], read["last_used_at"])


def _factor(read: dict[str, Any], number: str | None, *, has_address: bool) -> NewFactor:
    if read["type"] == "email" and not has_address:
        raise invalid("factors.type", "not_allowed", "There is no address that its codes could be mailed to.")
    if read["secret"] is not None and read["type"] != "totp":
        raise invalid("factors.secret", "not_allowed", "Only for `totp`.")
    target = (read["phone_number"] or number) if read["type"] == "sms" else None
    if read["type"] == "sms" and target is None:
        raise invalid("factors.phone_number", "required", "Say which number.")
    label = read["label"] or default_label(read["type"], target)
    return NewFactor(read["type"], label, target, read["secret"], read["created_at"], read["last_used_at"])
