"""The settings: each declared once, with its default, parser and meaning. Where their values come from is sources.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, TypeVar

from authsvc.config import captcha as captcha_parsers
from authsvc.config import parse
from authsvc.config.captcha import Demand
from authsvc.config.domains import DomainFile, domain_file
from authsvc.config.limits import LIMITS
from authsvc.config.mail import MailTarget, Sender, parse_sender, parse_target
from authsvc.config.parse import Address, Claim, Limit, Url
from authsvc.config.sms import SmsTarget, parse_body, parse_countries, parse_headers, parse_sms
from authsvc.config.urls import provider_url

if TYPE_CHECKING:
    from authsvc.config.oauth import OAuthClient

T = TypeVar("T")
PREFIX = "AUTHSVC_"
LIMIT_PREFIX = "limit_"


def setting(default: str, parser: Callable[[str], T], doc: str, *, secret: bool = False) -> T:
    """One setting. The default is text, so that it takes the same way in as a value that somebody wrote."""
    made: T = field(default=parser(default), repr=not secret, metadata={"text": default, "parse": parser, "doc": doc, "secret": secret})
    return made


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. `sources` says where each value came from; `limits` holds AUTHSVC_LIMIT_<NAME>."""

    # fmt: off - one setting a line
    database: str = setting("authsvc.db", parse.path, "path of the SQLite file")
    secret_key: str = setting(
        "", parse.secret, "at least 32 bytes; empty: read from, and on a workbench first made into, `<database>.key`", secret=True
    )
    secret_key_previous: tuple[str, ...] = setting("", parse.secrets, "older secret keys, newest first, comma-separated", secret=True)
    public_url: Url = setting(
        "http://127.0.0.1:8000",
        parse.url,
        "the only source of links, issuer, cookie flags, CORS and CSRF; loopback http makes a workbench, all else is production",
    )
    app_origins: tuple[str, ...] = setting("", parse.origins, "origins of the apps that call from a browser, comma-separated")
    listen: Address = setting("127.0.0.1:8000", parse.listen, "where `authsvc serve` listens")
    threads: int = setting(
        "8", parse.count(1, 256), "request threads of `authsvc serve`, not counting those that wait for password hashing"
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "", parse.networks, "CIDRs of the reverse proxies whose X-Forwarded-For counts"
    )
    name: str = setting("authsvc", parse.line, "name of the service, shown in mails and on pages")
    mail: MailTarget = setting(
        "console:",
        parse_target,
        "where mail goes: `smtp://user:password@host:587` (STARTTLS required unless `?tls=none`; `?ca=FILE` trusts other certificates), "
        "`smtps://…`, `file:FOLDER` (one .eml each) or `console:`; production wants it set",
        secret=True,
    )
    mail_from: Sender = setting("", parse_sender, "whom mail is from: `Example <no-reply@example.com>`; empty: no-reply at the public host")
    sms: SmsTarget = setting(
        "off",
        parse_sms,
        "where SMS goes: `twilio://SID:TOKEN@api.twilio.com`, the `https://` URL of a gateway, `file:FOLDER` (one .json each) or `console:`",
        secret=True,
    )
    sms_from: str = setting("", parse.text, "the sender of SMS: a number, a name or a messaging service")
    sms_countries: tuple[str, ...] = setting("", parse_countries, "calling codes that SMS may go to, such as `+1,+49`; none: no SMS")
    sms_body: str = setting(
        '{"to": "{to}", "from": "{from}", "text": "{text}"}',
        parse_body,
        "what is posted to a gateway: JSON, or a form such as `to={to}&text={text}`",
    )
    sms_headers: tuple[tuple[str, str], ...] = setting("", parse_headers, "headers for a gateway, as a JSON object", secret=True)
    mfa: str = setting(
        "optional",
        parse.choice("optional", "required", "admins"),
        "who must have a second factor: nobody, everybody, or those with the role admin",
    )
    mfa_trust: tuple[str, ...] = setting(
        "", parse.names, "names of OAuth providers whose own second step counts as ours, where their id_token tells of one"
    )
    captcha: str = setting(
        "off",
        parse.choice(*captcha_parsers.CHOICES),
        "`altcha`: built in, a proof of work; a vendor: `turnstile`, `hcaptcha`, `recaptcha` (v2), `recaptcha_v3`; or `off`",
    )
    captcha_secret: str = setting("", parse.text, "the secret that the CAPTCHA vendor gave us; the built-in one needs none", secret=True)
    captcha_site_key: str = setting("", captcha_parsers.site_key, "the site key that the CAPTCHA vendor gave us")
    captcha_on: tuple[Demand, ...] = setting(
        captcha_parsers.DEFAULT_ON,
        captcha_parsers.demands,
        "which action asks for a CAPTCHA: `always`, `risk` (a limit is more than half used) or `off`",
    )
    captcha_score: float = setting("0.5", captcha_parsers.score, "of recaptcha_v3: the least score that passes; 1 is surely a person")
    captcha_down: str = setting(
        "closed", parse.choice("closed", "open"), "when the CAPTCHA vendor cannot be asked: `closed` refuses (503), `open` lets through"
    )
    captcha_verify_url: str = setting("", provider_url, "where tokens are checked; empty: the vendor's own address")
    captcha_cost: int = setting("1000", parse.count(100, 1_000_000), "of the built-in CAPTCHA: PBKDF2 iterations of one try")
    captcha_difficulty: int = setting(
        "4000",
        parse.count(1, 10_000_000),
        "of the built-in CAPTCHA: the most tries that a browser needs, half of them on average; up to four times that under load",
    )
    letters: str = setting("", parse.text, "folder whose `<locale>/<name>.txt` and `.html` replace the bundled letters, file by file")
    pages: str = setting("", parse.text, "folder whose `.html` and assets replace those of the bundled pages, file by file")
    delivery: str = setting("threads", parse.choice("threads", "off"), "`off`: mail waits for an `authsvc worker`, or for `app.tick()`")
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        "", parse.networks, "CIDRs of networks that are not public and that webhooks may reach all the same, also by plain http"
    )
    enumeration: str = setting(
        "reveal", parse.choice("reveal", "hide"), "`hide`: nothing tells whether an address has an account, not even registration"
    )
    email_verification: str = setting(
        "optional", parse.choice("optional", "required"), "`required`: nobody signs in before their address is confirmed"
    )
    signup: str = setting(
        "open",
        parse.choice("open", "domains", "invite", "closed"),
        "who may make an account: anybody, addresses of AUTHSVC_SIGNUP_DOMAINS (each confirmed first) and the invited, the invited only, "
        "or nobody but an administrator",
    )
    signup_domains: tuple[str, ...] = setting("", parse.domains, "domains whose addresses may sign up, comma-separated")
    jwt_alg: str = setting(
        "HS256",
        parse.choice("HS256", "ES256", "EdDSA", "RS256"),
        "what signs access tokens: sub-keys of the secret keys, or (by the extra `crypto`) key pairs whose public halves stand in "
        "/.well-known/jwks.json",
    )
    disposable_domains: DomainFile = setting(
        "", domain_file, "file of domains, one a line, whose addresses nobody may sign up with; domains below them count too"
    )
    issuer: str = setting("", parse.text, "`iss` of the tokens; empty: the public URL")
    audience: str = setting("", parse.text, "`aud` of the access tokens; empty: the public URL")
    claims: tuple[Claim, ...] = setting("", parse.claims, "extra claims of the access token: `org=app_metadata.org,name=name`")
    access_seconds: int = setting("900", parse.count(10, 86_400), "life of an access token")
    refresh_seconds: int = setting("2592000", parse.count(60, 31_536_000), "a session ends when it was not refreshed for so long")
    session_seconds: int = setting("7776000", parse.count(60, 315_360_000), "a session ends after so long at the latest")
    refresh_grace_seconds: int = setting("30", parse.count(0, 300), "how long the previous refresh token still yields the same successor")
    password_min: int = setting("8", parse.count(1, 128), "least length of a password, in characters")
    password_weak: str = setting(
        "auto",
        parse.choice("auto", "warn", "refuse"),
        "common passwords and those made of the account's own data; auto: warn on a workbench, refuse elsewhere",
    )
    breach_check: str = setting(
        "off",
        parse.choice("off", "warn", "refuse"),
        "new passwords that are known from data breaches, by the range API of Have I Been Pwned: only five digits of a hash go out, and "
        "without an answer within two seconds the password passes",
    )
    breach_url: str = setting("https://api.pwnedpasswords.com/range/", parse.prefix, "where that API is; the five digits are appended")
    hash_memory_kib: int = setting("19456", parse.count(8, 4_194_304), "Argon2id memory of one hash")
    hash_time: int = setting("2", parse.count(1, 100), "Argon2id passes")
    hash_parallelism: int = setting("1", parse.count(1, 64), "Argon2id lanes")
    hash_budget_mib: int = setting("64", parse.count(1, 1_048_576), "memory that all running hashes together may hold")
    cookie_domain: str = setting("", parse.text, "Domain of the access cookie; empty: this host only")
    allow_http: bool = setting("no", parse.flag, "`yes` lets production run on a plain http:// public URL inside a private network")
    log: str = setting("text", parse.choice("text", "json"), "form of the log on standard error")
    metrics: str = setting(
        "auto",
        parse.choice("auto", "open", "key"),
        "who may read `/metrics`: anyone, or holders of the cap metrics:read; auto: anyone on a workbench, holders elsewhere",
    )
    audit_days: int = setting("365", parse.count(1, 36_500), "how many days a row of the audit trail is kept")
    audit_max_mib: int = setting(
        "1024", parse.count(1, 1_048_576), "about how much of the file the audit trail may take; the oldest rows go"
    )
    limits: Mapping[str, Limit] = field(default_factory=dict)
    oauth: Mapping[str, OAuthClient] = field(default_factory=dict)  # AUTHSVC_OAUTH_<NAME>_<PART>, by name
    sources: Mapping[str, str] = field(default_factory=dict)
    # fmt: on

    @property
    def workbench(self) -> bool:
        """A loopback http:// URL means a developer's own machine; anything else is production."""
        return self.public_url.scheme == "http" and self.public_url.loopback

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https, and so may keep Secure cookies."""
        return self.public_url.scheme == "https"

    @property
    def metrics_open(self) -> bool:
        """Whether anyone may read the metrics."""
        return self.metrics == "open" or (self.metrics == "auto" and self.workbench)

    def wants_mfa(self, is_admin: bool) -> bool:
        """Whether such an account must have a second factor."""
        return self.mfa == "required" or (self.mfa == "admins" and is_admin)

    @property
    def hides_accounts(self) -> bool:
        """Whether a stranger may not learn which addresses have accounts."""
        return self.enumeration == "hide"

    @property
    def verification_required(self) -> bool:
        """Whether an address must be confirmed before its owner may sign in. Hiding needs it: who could sign in right
        after registering would know that the address was free. So do domains: an address proves nothing until then."""
        return self.email_verification == "required" or self.hides_accounts or self.signup == "domains"

    @property
    def weak_passwords_refused(self) -> bool:
        return self.password_weak == "refuse" or (self.password_weak == "auto" and not self.workbench)


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of a setting before it has a value."""

    name: str
    default: str
    parse: Callable[[str], Any]
    doc: str
    secret: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


def declared() -> dict[str, Declared]:
    """Every setting by its lower-case name, the limits included."""
    plain = [
        Declared(f.name, f.metadata["text"], f.metadata["parse"], f.metadata["doc"], f.metadata["secret"])
        for f in fields(Settings)
        if f.metadata
    ]
    limits = [
        Declared(LIMIT_PREFIX + name, limit.default, parse.limit, f"{limit.doc}; keyed by {limit.keyed_by}")
        for name, limit in LIMITS.items()
    ]
    return {known.name: known for known in plain + limits}
