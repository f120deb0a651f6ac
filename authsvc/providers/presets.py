"""The providers that we know by name: values only. What each trap is about stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str, ...]  # of a member in an answer; a number is an index into a list

EMAIL_VERIFIED: Path = ("email_verified",)


@dataclass(frozen=True, slots=True)
class Addresses:
    """A second call that lists a user's addresses, where the profile does not tell which is confirmed."""

    below: str  # where, below the profile
    items: Path  # of the list in the answer
    email: str
    primary: str
    verified: str


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider. With an `issuer` it speaks OpenID Connect: the identity is in the id_token; without one it is read
    from `userinfo_url`. `subject` is never anything that its owner can change or hand on. `verified_by`: each names a
    member that proves the address: a flag, the address itself, or a list that it is in; none: never proved."""

    title: str
    issuer: str = ""
    issuers: Path = ()  # other spellings of it that id_tokens have
    authorize_url: str = ""
    token_url: str = ""
    userinfo_url: str = ""
    jwks_url: str = ""
    discover: bool = True  # whether what is missing above is looked up at the issuer
    scopes: Path = ("openid", "email", "profile")
    pkce: bool = True
    client_auth: str = ""  # post or basic; empty: as discovery says
    form_post: bool = False  # it answers by a form that the browser posts to us
    echoes_nonce: bool = True
    asks_userinfo: bool = True  # where the id_token has no address
    authorize_more: Mapping[str, str] = field(default_factory=dict)
    api_headers: Mapping[str, str] = field(default_factory=dict)
    signs_calls: bool = False  # Facebook's appsecret_proof
    subject: tuple[Path, ...] = (("sub",),)  # more than one: together
    email: Path = ("email",)
    verified_by: tuple[Path, ...] = (EMAIL_VERIFIED,)
    addresses: Addresses | None = None
    name: tuple[Path, ...] = (("name",), ("preferred_username",))  # the first that is there
    picture: Path | str = ("picture",)  # a text is a URL with {members}
    must_be: Mapping[str, str] = field(default_factory=dict)  # members that show that the account is in use


OPENID = Preset("")
OAUTH2 = Preset("", subject=(("id",),), scopes=())

MICROSOFT = "https://login.microsoftonline.com"
TENANT = "{tenantid}"  # as Microsoft's own metadata writes it
TWITCH_CLAIMS = '{"id_token":{"email":null,"email_verified":null,"picture":null,"preferred_username":null}}'

PRESETS: Mapping[str, Preset] = {
    # Its redirect carries `iss` although its metadata does not say so; id_tokens may name the issuer without the scheme.
    "google": Preset("Google", "https://accounts.google.com", issuers=("accounts.google.com",)),
    # Only the list of addresses tells which is confirmed; the API wants a User-Agent; `login` can be given up and taken.
    "github": Preset(
        "GitHub",
        authorize_url="https://github.com/login/oauth/authorize",
        token_url="https://github.com/login/oauth/access_token",
        userinfo_url="https://api.github.com/user",
        scopes=("read:user", "user:email"),
        client_auth="post",
        api_headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
        subject=(("id",),),
        verified_by=(),
        addresses=Addresses("/emails", (), "email", "primary", "verified"),
        name=(("name",), ("login",)),
        picture=("avatar_url",),
    ),
    "gitlab": Preset("GitLab", "https://gitlab.com", name=(("name",), ("nickname",))),
    # `email` is whatever a tenant's administrator typed; only xms_edov and the lists of verified addresses prove it.
    # Its metadata keeps silent about PKCE, which works. Of every tenant the issuer is another.
    "microsoft": Preset(
        "Microsoft",
        f"{MICROSOFT}/{TENANT}/v2.0",
        authorize_url=f"{MICROSOFT}/{TENANT}/oauth2/v2.0/authorize",
        token_url=f"{MICROSOFT}/{TENANT}/oauth2/v2.0/token",
        jwks_url=f"{MICROSOFT}/{TENANT}/discovery/v2.0/keys",
        discover=False,
        client_auth="post",
        asks_userinfo=False,
        subject=(("tid",), ("oid",)),
        verified_by=(("xms_edov",), ("verified_primary_email",), ("verified_secondary_email",)),
        picture=(),
    ),
    # The name comes once, beside the code, unsigned. Discovery once named another issuer than the tokens: not asked.
    "apple": Preset(
        "Apple",
        "https://appleid.apple.com",
        authorize_url="https://appleid.apple.com/auth/authorize",
        token_url="https://appleid.apple.com/auth/token",
        jwks_url="https://appleid.apple.com/auth/keys",
        discover=False,
        scopes=("name", "email"),
        client_auth="post",
        form_post=True,
        asks_userinfo=False,
        picture=(),
    ),
    # No flag tells whether the address is confirmed. PKCE only in its OpenID mode.
    "facebook": Preset(
        "Facebook",
        authorize_url="https://www.facebook.com/v24.0/dialog/oauth",
        token_url="https://graph.facebook.com/v24.0/oauth/access_token",
        userinfo_url="https://graph.facebook.com/v24.0/me?fields=id,name,email,picture.type(large)",
        scopes=("email", "public_profile"),
        pkce=False,
        client_auth="post",
        signs_calls=True,
        subject=(("id",),),
        verified_by=(),
        picture=("picture", "data", "url"),
    ),
    "discord": Preset(
        "Discord",
        authorize_url="https://discord.com/api/oauth2/authorize",
        token_url="https://discord.com/api/oauth2/token",
        userinfo_url="https://discord.com/api/users/@me",
        scopes=("identify", "email"),
        client_auth="post",
        subject=(("id",),),
        verified_by=(("verified",),),
        name=(("global_name",), ("username",)),
        picture="https://cdn.discordapp.com/avatars/{id}/{avatar}.png",
    ),
    # A code_verifier makes it answer invalid_client; the id_token does not repeat the nonce.
    "linkedin": Preset(
        "LinkedIn",
        "https://www.linkedin.com/oauth",
        authorize_url="https://www.linkedin.com/oauth/v2/authorization",
        token_url="https://www.linkedin.com/oauth/v2/accessToken",
        userinfo_url="https://api.linkedin.com/v2/userinfo",
        jwks_url="https://www.linkedin.com/oauth/openid/jwks",
        discover=False,
        pkce=False,
        client_auth="post",
        echoes_nonce=False,
    ),
    # User ids are unique within a team only. PKCE has to be switched on over there, for good, and makes the app public.
    "slack": Preset(
        "Slack",
        "https://slack.com",
        authorize_url="https://slack.com/openid/connect/authorize",
        token_url="https://slack.com/api/openid.connect.token",
        userinfo_url="https://slack.com/api/openid.connect.userInfo",
        jwks_url="https://slack.com/openid/connect/keys",
        discover=False,
        pkce=False,
        client_auth="post",
        subject=(("https://slack.com/team_id",), ("https://slack.com/user_id",)),
    ),
    # Address claims come only when asked for one by one. No PKCE.
    "twitch": Preset(
        "Twitch",
        "https://id.twitch.tv/oauth2",
        authorize_url="https://id.twitch.tv/oauth2/authorize",
        token_url="https://id.twitch.tv/oauth2/token",
        userinfo_url="https://id.twitch.tv/oauth2/userinfo",
        jwks_url="https://id.twitch.tv/oauth2/keys",
        discover=False,
        scopes=("openid", "user:read:email"),
        pkce=False,
        client_auth="post",
        authorize_more={"claims": TWITCH_CLAIMS},
        name=(("preferred_username",),),
    ),
    "bitbucket": Preset(
        "Bitbucket",
        authorize_url="https://bitbucket.org/site/oauth2/authorize",
        token_url="https://bitbucket.org/site/oauth2/access_token",
        userinfo_url="https://api.bitbucket.org/2.0/user",
        scopes=("account", "email"),
        pkce=False,
        client_auth="basic",
        subject=(("uuid",),),
        verified_by=(),
        addresses=Addresses("/emails", ("values",), "email", "is_primary", "is_confirmed"),
        name=(("display_name",),),
        picture=("links", "avatar", "href"),
        must_be={"account_status": "active"},
    ),
    # It says itself that nobody has confirmed the address.
    "spotify": Preset(
        "Spotify",
        authorize_url="https://accounts.spotify.com/authorize",
        token_url="https://accounts.spotify.com/api/token",
        userinfo_url="https://api.spotify.com/v1/me",
        scopes=("user-read-email", "user-read-private"),
        client_auth="basic",
        subject=(("id",),),
        verified_by=(),
        name=(("display_name",),),
        picture=("images", "0", "url"),
    ),
    # The address is there only if it is confirmed, and if the app may see it; without tweet.read the call is refused.
    "x": Preset(
        "X",
        authorize_url="https://x.com/i/oauth2/authorize",
        token_url="https://api.x.com/2/oauth2/token",
        userinfo_url="https://api.x.com/2/users/me?user.fields=profile_image_url,confirmed_email",
        scopes=("users.read", "tweet.read", "users.email"),
        client_auth="basic",
        subject=(("data", "id"),),
        email=("data", "confirmed_email"),
        verified_by=(("data", "confirmed_email"),),
        name=(("data", "name"), ("data", "username")),
        picture=("data", "profile_image_url"),
    ),
}
