"""A running provider with our client at it, and an app whose provider `corp` it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authsvc.app import App
from tests.openid.provider import OpenIdProvider, provider_running
from tests.support import FakeWorld, make_app

CLIENT = "authsvc"
SECRET = "a-secret-that-the-provider-gave-us"
BASE = "http://127.0.0.1:8000"
ADA = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace", "picture": "https://img.example/a.png"}
BOB = {"sub": "bob", "email": "bob@example.com", "email_verified": False, "name": "Bob"}
MIA = {"sub": "mia", "name": "Mia"}


def clients(names: tuple[str, ...] = ("corp", "other"), **more: Any) -> list[dict[str, Any]]:
    """Our client, with the callback of each of these providers."""
    redirects = [f"{BASE}/oauth/{name}/callback" for name in names]
    return [{"client_id": CLIENT, "client_secret": SECRET, "redirect_uris": redirects, **more}]


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[OpenIdProvider]:
    with provider_running(clients(), [ADA, BOB, MIA]) as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: OpenIdProvider) -> OpenIdProvider:
    """The provider with its people as they were at first."""
    shared_provider.set_accounts([ADA, BOB, MIA])
    return shared_provider


@pytest.fixture
def real_time() -> FakeWorld:
    """A world that begins now, as the provider's does."""
    world = FakeWorld()
    world.time = time.time_ns() // 1_000_000
    return world


def settings(provider: OpenIdProvider, *names: str, **more: Any) -> dict[str, Any]:
    """The settings of providers of these names, all at the same place."""
    found: dict[str, Any] = {}
    for name in names or ("corp",):
        found |= {f"oauth_{name}_client_id": CLIENT, f"oauth_{name}_client_secret": SECRET, f"oauth_{name}_issuer": provider.issuer}
    return found | more


@pytest.fixture
def app(tmp_path: Path, provider: OpenIdProvider, real_time: FakeWorld) -> Iterator[App]:
    app = make_app(tmp_path, real_time, **settings(provider))
    yield app
    app.close()


@pytest.fixture(scope="session")
def shared_reticent(shared_provider: OpenIdProvider) -> Iterator[OpenIdProvider]:
    with provider_running(clients(), [ADA, BOB, MIA], conform_id_token_claims=True) as provider:
        yield provider


@pytest.fixture
def reticent(shared_reticent: OpenIdProvider) -> OpenIdProvider:
    """A provider of other people, who have the same subs; what it tells of them is in its userinfo only."""
    shared_reticent.set_accounts([ADA, BOB, MIA])
    return shared_reticent
