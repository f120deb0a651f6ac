"""The vendors' server, which all tests of this folder share, and a world of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.vendors import Net, Vendors, vendors_running


@pytest.fixture(scope="session")
def shared_vendors() -> Iterator[Vendors]:
    with vendors_running() as vendors:
        yield vendors


@pytest.fixture
def vendors(shared_vendors: Vendors) -> Vendors:
    """Who know nothing yet, and were asked nothing."""
    shared_vendors.answers = {}
    shared_vendors.asked = []
    return shared_vendors


@pytest.fixture
def net(vendors: Vendors) -> Net:
    return Net(vendors)
