"""What the vendors answer, whole, as each documents it; and what is known of each that must show in how we ask."""

from __future__ import annotations

import base64
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from authsvc.primitives import emails
from authsvc.providers.profile import Identity
from tests.providers.tokens import ACCESS_TOKEN, KID, NOW, at_hash, by_hand, claims, rsa_jwk
from tests.providers.vendors import CLIENT_ID, Behaviour, Said, Vendors

TID = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
OID = "00000000-0000-0000-66f3-3332eca7ea81"
BASIC = "Basic " + base64.b64encode(b"our-client-id:s3cret%2Fof%2Bour%20client%25").decode()


@dataclass(frozen=True)
class Recorded:
    """One vendor. `claims` are those of the id_token; without them it speaks plain OAuth 2.0."""

    name: str
    title: str
    identity: Identity
    authorize: str
    scopes: str
    token_url: str
    token: dict[str, Any]
    claims: dict[str, Any] | None = None
    discovery_url: str = ""
    discovery: dict[str, Any] = field(default_factory=dict)
    jwks_url: str = ""
    userinfo_url: str = ""
    userinfo: Any = None
    emails_url: str = ""
    emails: Any = None
    pkce: bool = True
    basic: bool = False
    form_post: bool = False
    asks_userinfo: bool = True  # in the usual course
    more: dict[str, str] = field(default_factory=dict)  # members of the authorize URL

    def with_claims(self, **changes: Any) -> Recorded:
        """What is `...` goes."""
        assert self.claims is not None
        return replace(self, claims=changed(self.claims, changes))

    def with_userinfo(self, **changes: Any) -> Recorded:
        return replace(self, userinfo=changed(self.userinfo, changes))

    def with_token(self, **changes: Any) -> Recorded:
        return replace(self, token=changed(self.token, changes))

    @property
    def id_token(self) -> str:
        assert self.claims is not None
        return by_hand({"alg": "RS256", "kid": KID, "typ": "JWT"}, self.claims)

    @property
    def answers(self) -> dict[str, Behaviour]:
        """By what is asked for."""
        token = self.token if self.claims is None or "id_token" in self.token else {**self.token, "id_token": self.id_token}
        said: dict[str, Behaviour] = {f"POST {self.token_url}": Said(token)}
        for url, value in (
            (self.discovery_url, self.discovery),
            (self.jwks_url, {"keys": [rsa_jwk(alg="RS256")]}),
            (self.userinfo_url, self.userinfo),
            (self.emails_url, self.emails),
        ):
            if url:
                said[f"GET {url}"] = Said(value)
        return said

    def answered_by(self, vendors: Vendors, **places: Behaviour) -> None:
        """From now on; a place (`token`, `userinfo`, `emails`, `jwks`, `discovery`) may say something else."""
        vendors.answers = self.answers | {self.target(place): said for place, said in places.items()}

    def target(self, place: str) -> str:
        return f"{'POST' if place == 'token' else 'GET'} {getattr(self, place + '_url')}"

    @property
    def places(self) -> list[str]:
        """What one sign-in asks for, in turn, when nothing is remembered and signatures are verified."""
        return [
            *(["discovery"] if self.discovery_url else []),
            "token",
            *(["jwks"] if self.jwks_url else []),
            *(["userinfo"] if self.asks_userinfo and self.userinfo_url else []),
            *(["emails"] if self.emails_url else []),
        ]


def changed(value: Any, changes: dict[str, Any]) -> Any:
    """A copy with these members; a `__` in a name goes one deeper, and what is `...` goes."""
    made = deepcopy(value)
    for name, new in changes.items():
        *way, last = name.split("__")
        inside = made
        for step in way:
            inside = inside[step]
        if new is ...:
            inside.pop(last, None)
        else:
            inside[last] = new
    return made


def who(
    realm: str, subject: str, email: str, name: str | None, picture: str | None = None, locale: str | None = None, *, proved: bool
) -> Identity:
    return Identity(realm, subject, emails.parse(email), proved, name, picture, locale)


def bearer(**more: Any) -> dict[str, Any]:
    return {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3600, **more}


def openid(iss: str, sub: str, **more: Any) -> dict[str, Any]:
    return claims(iss=iss, sub=sub, email=..., email_verified=...) | more


GOOGLE = Recorded(
    "google",
    "Google",
    who(
        "https://accounts.google.com",
        "110169484474386276334",
        "ada@gmail.com",
        "Ada Lovelace",
        "https://lh3.googleusercontent.com/a/ACg8ocK=s96-c",
        proved=True,
    ),
    "https://accounts.google.com/o/oauth2/v2/auth",
    "openid email profile",
    "https://oauth2.googleapis.com/token",
    bearer(expires_in=3599, scope="openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile"),
    claims=openid(
        "https://accounts.google.com",
        "110169484474386276334",
        azp=CLIENT_ID,
        email="ada@gmail.com",
        email_verified=True,
        name="Ada Lovelace",
        picture="https://lh3.googleusercontent.com/a/ACg8ocK=s96-c",
        given_name="Ada",
        family_name="Lovelace",
    ),
    discovery_url="https://accounts.google.com/.well-known/openid-configuration",
    discovery={
        "issuer": "https://accounts.google.com",
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
        "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
        "token_endpoint": "https://oauth2.googleapis.com/token",
        "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
        "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
        "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        "response_types_supported": ["code", "token", "id_token", "code token", "code id_token", "token id_token", "none"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss", "name", "picture", "sub"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
    },
    jwks_url="https://www.googleapis.com/oauth2/v3/certs",
    userinfo_url="https://openidconnect.googleapis.com/v1/userinfo",
    userinfo={"sub": "110169484474386276334", "email": "ada@gmail.com", "email_verified": True, "name": "Ada Lovelace"},
    asks_userinfo=False,
)
GITHUB = Recorded(
    "github",
    "GitHub",
    who(
        "https://github.com",
        "583231",
        "octocat@github.com",
        "monalisa octocat",
        "https://avatars.githubusercontent.com/u/583231?v=4",
        proved=True,
    ),
    "https://github.com/login/oauth/authorize",
    "read:user user:email",
    "https://github.com/login/oauth/access_token",
    {"access_token": ACCESS_TOKEN, "token_type": "bearer", "scope": "read:user,user:email"},
    userinfo_url="https://api.github.com/user",
    userinfo={
        "login": "octocat",
        "id": 583231,
        "node_id": "MDQ6VXNlcjU4MzIzMQ==",
        "avatar_url": "https://avatars.githubusercontent.com/u/583231?v=4",
        "gravatar_id": "",
        "url": "https://api.github.com/users/octocat",
        "html_url": "https://github.com/octocat",
        "type": "User",
        "site_admin": False,
        "name": "monalisa octocat",
        "company": "GitHub",
        "blog": "https://github.com/blog",
        "location": "San Francisco",
        "email": "public@github.com",
        "hireable": False,
        "bio": "There once was...",
        "twitter_username": "monatheoctocat",
        "public_repos": 2,
        "followers": 20,
        "created_at": "2008-01-14T04:33:35Z",
        "two_factor_authentication": True,
        "plan": {"name": "Medium", "space": 400, "private_repos": 20, "collaborators": 0},
    },
    emails_url="https://api.github.com/user/emails",
    emails=[
        {"email": "old@example.com", "verified": True, "primary": False, "visibility": None},
        {"email": "octocat@github.com", "verified": True, "primary": True, "visibility": "public"},
        {"email": "583231+octocat@users.noreply.github.com", "verified": True, "primary": False, "visibility": None},
    ],
)
GITLAB = Recorded(
    "gitlab",
    "GitLab",
    who(
        "https://gitlab.com",
        "1234567",
        "ada@example.com",
        "Ada Lovelace",
        "https://gitlab.com/uploads/-/system/user/avatar/1234567/avatar.png",
        proved=True,
    ),
    "https://gitlab.com/oauth/authorize",
    "openid email profile",
    "https://gitlab.com/oauth/token",
    bearer(expires_in=7200, refresh_token="8257e65c97202ed1726cf9571600918f3bffb2544b26e00a61df9897668c33a1", scope="openid email profile"),
    claims=openid(
        "https://gitlab.com",
        "1234567",
        sub_legacy="b6e3a1b9f4b5f7d9c0e2",
        auth_time=NOW - 60,
        name="Ada Lovelace",
        nickname="ada",
        preferred_username="ada",
        email="ada@example.com",
        email_verified=True,
        profile="https://gitlab.com/ada",
        picture="https://gitlab.com/uploads/-/system/user/avatar/1234567/avatar.png",
        groups_direct=["analytical-engines"],
    ),
    discovery_url="https://gitlab.com/.well-known/openid-configuration",
    discovery={
        "issuer": "https://gitlab.com",
        "authorization_endpoint": "https://gitlab.com/oauth/authorize",
        "token_endpoint": "https://gitlab.com/oauth/token",
        "revocation_endpoint": "https://gitlab.com/oauth/revoke",
        "introspection_endpoint": "https://gitlab.com/oauth/introspect",
        "userinfo_endpoint": "https://gitlab.com/oauth/userinfo",
        "jwks_uri": "https://gitlab.com/oauth/discovery/keys",
        "scopes_supported": ["api", "read_user", "openid", "profile", "email"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "sub_legacy", "name", "nickname", "email", "email_verified"],
        "code_challenge_methods_supported": ["plain", "S256"],
    },
    jwks_url="https://gitlab.com/oauth/discovery/keys",
    userinfo_url="https://gitlab.com/oauth/userinfo",
    userinfo={"sub": "1234567", "name": "Ada Lovelace", "nickname": "ada", "email": "ada@example.com", "email_verified": True},
    asks_userinfo=False,
)
MICROSOFT = Recorded(
    "microsoft",
    "Microsoft",
    who("https://login.microsoftonline.com/{tenantid}/v2.0", f"{TID}/{OID}", "ada@contoso.com", "Ada Lovelace", proved=True),
    "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
    "openid email profile",
    "https://login.microsoftonline.com/common/oauth2/v2.0/token",
    bearer(scope="openid profile email", ext_expires_in=3599, expires_in=3599),
    claims=openid(
        f"https://login.microsoftonline.com/{TID}/v2.0",
        "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        ver="2.0",
        nbf=NOW,
        name="Ada Lovelace",
        preferred_username="ada@contoso.com",
        email="ada@contoso.com",
        oid=OID,
        tid=TID,
        xms_edov=True,
        rh="0.ARoAv4j5cvGGr0GRqy180BHbR",
        uti="kbV8y2oVbk6",
        aio="Df2UVXL1ix!lMCWMSOJBcFatzcGfvFGhjKv8q5g0x732dR5MB5BisvGQO7YWByjd8iQDLq!eGbIDakyp5mnOrcdqHeYSnltepQmRp6AIZ8jY",
    ),
    jwks_url="https://login.microsoftonline.com/common/discovery/v2.0/keys",
    asks_userinfo=False,
)
APPLE = Recorded(
    "apple",
    "Apple",
    who("https://appleid.apple.com", "000980.9fd6c2d5e5b14a3b8b6a7a4b3a5ee8c7.0921", "pn4kqv@privaterelay.appleid.com", None, proved=True),
    "https://appleid.apple.com/auth/authorize",
    "name email",
    "https://appleid.apple.com/auth/token",
    bearer(refresh_token="r4f7a9b6c3d2e1.0.mr"),
    claims=openid(
        "https://appleid.apple.com",
        "000980.9fd6c2d5e5b14a3b8b6a7a4b3a5ee8c7.0921",
        email="pn4kqv@privaterelay.appleid.com",
        email_verified="true",
        is_private_email="true",
        auth_time=NOW - 1,
        nonce_supported=True,
    ),
    jwks_url="https://appleid.apple.com/auth/keys",
    asks_userinfo=False,
    form_post=True,
)
FACEBOOK = Recorded(
    "facebook",
    "Facebook",
    who(
        "https://graph.facebook.com",
        "10226021563487465",
        "ada@example.com",
        "Ada Lovelace",
        "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=10226021563487465&height=200&width=200&ext=1735000000&hash=AbZ",
        proved=False,
    ),
    "https://www.facebook.com/v24.0/dialog/oauth",
    "email public_profile",
    "https://graph.facebook.com/v24.0/oauth/access_token",
    {"access_token": ACCESS_TOKEN, "token_type": "bearer", "expires_in": 5183944},
    userinfo_url="https://graph.facebook.com/v24.0/me",
    userinfo={
        "id": "10226021563487465",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "picture": {
            "data": {
                "height": 200,
                "is_silhouette": False,
                "url": (
                    "https://platform-lookaside.fbsbx.com/platform/profilepic/"
                    "?asid=10226021563487465&height=200&width=200&ext=1735000000&hash=AbZ"
                ),
                "width": 200,
            }
        },
    },
    pkce=False,
)
DISCORD = Recorded(
    "discord",
    "Discord",
    who(
        "https://discord.com",
        "80351110224678912",
        "nelly@discord.com",
        "Nelly",
        "https://cdn.discordapp.com/avatars/80351110224678912/8342729096ea3675442027381ff50dfe.png",
        "en-US",
        proved=True,
    ),
    "https://discord.com/api/oauth2/authorize",
    "identify email",
    "https://discord.com/api/oauth2/token",
    bearer(expires_in=604800, refresh_token="D43f5y0ahjqew82jZ4NViEr2YafMKhue", scope="identify email"),
    userinfo_url="https://discord.com/api/users/@me",
    userinfo={
        "id": "80351110224678912",
        "username": "nelly",
        "discriminator": "0",
        "global_name": "Nelly",
        "avatar": "8342729096ea3675442027381ff50dfe",
        "verified": True,
        "email": "nelly@discord.com",
        "flags": 64,
        "banner": "06c16474723fe537c283b8efa61a30c8",
        "accent_color": 16711680,
        "premium_type": 1,
        "public_flags": 64,
        "mfa_enabled": False,
        "locale": "en-US",
    },
)
LINKEDIN = Recorded(
    "linkedin",
    "LinkedIn",
    who(
        "https://www.linkedin.com/oauth",
        "782bbtaQ",
        "ada@example.com",
        "Ada Lovelace",
        "https://media.licdn.com/dms/image/C5F03AQ/0",
        proved=True,
    ),
    "https://www.linkedin.com/oauth/v2/authorization",
    "openid email profile",
    "https://www.linkedin.com/oauth/v2/accessToken",
    bearer(expires_in=5184000, scope="email,openid,profile"),
    claims=openid("https://www.linkedin.com/oauth", "782bbtaQ") | {"at_hash": at_hash(ACCESS_TOKEN)},
    jwks_url="https://www.linkedin.com/oauth/openid/jwks",
    userinfo_url="https://api.linkedin.com/v2/userinfo",
    userinfo={
        "sub": "782bbtaQ",
        "name": "Ada Lovelace",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "picture": "https://media.licdn.com/dms/image/C5F03AQ/0",
        "locale": {"country": "US", "language": "en"},
        "email": "ada@example.com",
        "email_verified": True,
    },
    pkce=False,
).with_claims(nonce=...)
SLACK = Recorded(
    "slack",
    "Slack",
    who(
        "https://slack.com",
        "T123ABC456/U123ABC456",
        "alice@example.com",
        "Alice Smith",
        "https://secure.gravatar.com/avatar/abc?d=https%3A%2F%2Fa.slack-edge.com%2Fdf10d%2Fimg%2Favatars%2Fava_0016-192.png",
        "en-US",
        proved=True,
    ),
    "https://slack.com/openid/connect/authorize",
    "openid email profile",
    "https://slack.com/api/openid.connect.token",
    {"ok": True, "access_token": ACCESS_TOKEN, "token_type": "Bearer"},
    claims=openid(
        "https://slack.com",
        "U123ABC456",
        auth_time=NOW,
        **{
            "https://slack.com/team_id": "T123ABC456",
            "https://slack.com/user_id": "U123ABC456",
            "https://slack.com/team_name": "kraneflannel",
            "https://slack.com/team_domain": "kraneflannel",
            "https://slack.com/team_image_default": True,
        },
        email="alice@example.com",
        email_verified=True,
        date_email_verified=1622128723,
        locale="en-US",
        name="Alice Smith",
        given_name="Alice",
        family_name="Smith",
        picture="https://secure.gravatar.com/avatar/abc?d=https%3A%2F%2Fa.slack-edge.com%2Fdf10d%2Fimg%2Favatars%2Fava_0016-192.png",
    ),
    jwks_url="https://slack.com/openid/connect/keys",
    userinfo_url="https://slack.com/api/openid.connect.userInfo",
    userinfo={
        "ok": True,
        "sub": "U123ABC456",
        "https://slack.com/user_id": "U123ABC456",
        "https://slack.com/team_id": "T123ABC456",
        "email": "alice@example.com",
        "email_verified": True,
        "name": "Alice Smith",
        "locale": "en-US",
    },
    asks_userinfo=False,
    pkce=False,
)
TWITCH = Recorded(
    "twitch",
    "Twitch",
    who(
        "https://id.twitch.tv/oauth2",
        "713936733",
        "justin@example.com",
        "justin",
        "https://static-cdn.jtvnw.net/jtv_user_pictures/8a6381c7-d0c0-4576-b179-38bd5ce1d6af-profile_image-300x300.png",
        proved=True,
    ),
    "https://id.twitch.tv/oauth2/authorize",
    "openid user:read:email",
    "https://id.twitch.tv/oauth2/token",
    {
        "access_token": ACCESS_TOKEN,
        "expires_in": 14944,
        "refresh_token": "gfr7gcbd9e0ikv8",
        "scope": ["openid", "user:read:email"],
        "token_type": "bearer",
    },
    claims=openid(
        "https://id.twitch.tv/oauth2",
        "713936733",
        azp=CLIENT_ID,
        email="justin@example.com",
        email_verified=True,
        picture="https://static-cdn.jtvnw.net/jtv_user_pictures/8a6381c7-d0c0-4576-b179-38bd5ce1d6af-profile_image-300x300.png",
        preferred_username="justin",
    ),
    jwks_url="https://id.twitch.tv/oauth2/keys",
    userinfo_url="https://id.twitch.tv/oauth2/userinfo",
    userinfo={"aud": CLIENT_ID, "exp": NOW + 3600, "iat": NOW, "iss": "https://id.twitch.tv/oauth2", "sub": "713936733"},
    asks_userinfo=False,
    pkce=False,
    more={"claims": '{"id_token":{"email":null,"email_verified":null,"picture":null,"preferred_username":null}}'},
)
BITBUCKET = Recorded(
    "bitbucket",
    "Bitbucket",
    who(
        "https://bitbucket.org",
        "{d301aafa-d676-4ee0-88be-962be7417567}",
        "tutorials@bitbucket.org",
        "tutorials account",
        "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net/initials/TA-2.png",
        proved=True,
    ),
    "https://bitbucket.org/site/oauth2/authorize",
    "account email",
    "https://bitbucket.org/site/oauth2/access_token",
    {
        "access_token": ACCESS_TOKEN,
        "scope": "account email",
        "expires_in": 7200,
        "refresh_token": "4fTEkBBBw2Zr",
        "token_type": "bearer",
        "state": "authorization_code",
    },
    userinfo_url="https://api.bitbucket.org/2.0/user",
    userinfo={
        "username": "tutorials",
        "nickname": "tutorials",
        "account_status": "active",
        "display_name": "tutorials account",
        "created_on": "2011-12-20T16:34:07.132459+00:00",
        "uuid": "{d301aafa-d676-4ee0-88be-962be7417567}",
        "account_id": "557058:c0b72ad0-1cb5-4018-9cdc-0cde8492c443",
        "has_2fa_enabled": None,
        "type": "user",
        "is_staff": False,
        "links": {
            "self": {"href": "https://api.bitbucket.org/2.0/users/%7Bd301aafa-d676-4ee0-88be-962be7417567%7D"},
            "html": {"href": "https://bitbucket.org/%7Bd301aafa-d676-4ee0-88be-962be7417567%7D/"},
            "avatar": {"href": "https://avatar-management--avatars.us-west-2.prod.public.atl-paas.net/initials/TA-2.png"},
        },
    },
    emails_url="https://api.bitbucket.org/2.0/user/emails",
    emails={
        "values": [
            {"type": "email", "links": {}, "email": "other@bitbucket.org", "is_primary": False, "is_confirmed": True},
            {
                "type": "email",
                "links": {"self": {"href": "https://api.bitbucket.org/2.0/user/emails/tutorials@bitbucket.org"}},
                "email": "tutorials@bitbucket.org",
                "is_primary": True,
                "is_confirmed": True,
            },
        ],
        "pagelen": 10,
        "size": 2,
        "page": 1,
    },
    pkce=False,
    basic=True,
)
SPOTIFY = Recorded(
    "spotify",
    "Spotify",
    who(
        "https://accounts.spotify.com",
        "smedjan",
        "ada@example.com",
        "Ada",
        "https://i.scdn.co/image/ab6775700000ee8555c25988a6ac314394d3fbf5",
        proved=False,
    ),
    "https://accounts.spotify.com/authorize",
    "user-read-email user-read-private",
    "https://accounts.spotify.com/api/token",
    bearer(scope="user-read-email user-read-private", refresh_token="AQC3Z8yEwYd"),
    userinfo_url="https://api.spotify.com/v1/me",
    userinfo={
        "country": "SE",
        "display_name": "Ada",
        "email": "ada@example.com",
        "explicit_content": {"filter_enabled": False, "filter_locked": False},
        "external_urls": {"spotify": "https://open.spotify.com/user/smedjan"},
        "followers": {"href": None, "total": 3829},
        "href": "https://api.spotify.com/v1/users/smedjan",
        "id": "smedjan",
        "images": [
            {"url": "https://i.scdn.co/image/ab6775700000ee8555c25988a6ac314394d3fbf5", "height": 300, "width": 300},
            {"url": "https://i.scdn.co/image/ab67757000003b8255c25988a6ac314394d3fbf5", "height": 64, "width": 64},
        ],
        "product": "premium",
        "type": "user",
        "uri": "spotify:user:smedjan",
    },
    basic=True,
)
X = Recorded(
    "x",
    "X",
    who(
        "https://api.x.com",
        "2244994945",
        "dev@example.com",
        "X Dev",
        "https://pbs.twimg.com/profile_images/1283786620521652229/lEODkLTh_normal.jpg",
        proved=True,
    ),
    "https://x.com/i/oauth2/authorize",
    "users.read tweet.read users.email",
    "https://api.x.com/2/oauth2/token",
    {"token_type": "bearer", "expires_in": 7200, "access_token": ACCESS_TOKEN, "scope": "users.read tweet.read users.email"},
    userinfo_url="https://api.x.com/2/users/me",
    userinfo={
        "data": {
            "id": "2244994945",
            "name": "X Dev",
            "username": "XDevelopers",
            "profile_image_url": "https://pbs.twimg.com/profile_images/1283786620521652229/lEODkLTh_normal.jpg",
            "confirmed_email": "dev@example.com",
        }
    },
    basic=True,
)

VENDORS = {
    one.name: one for one in (GOOGLE, GITHUB, GITLAB, MICROSOFT, APPLE, FACEBOOK, DISCORD, LINKEDIN, SLACK, TWITCH, BITBUCKET, SPOTIFY, X)
}
