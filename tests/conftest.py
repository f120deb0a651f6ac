"""Fixtures for the common case: one app on a fresh database, one world, one client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.app import App
from tests.support import Client, FakeWorld, running


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def app(tmp_path: Path, world: FakeWorld) -> Iterator[App]:
    with running(tmp_path, world) as app:
        yield app


@pytest.fixture
def client(app: App) -> Client:
    return Client(app)
