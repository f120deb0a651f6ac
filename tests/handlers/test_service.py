"""/healthz, /readyz and /problems/:code."""

from __future__ import annotations

import json

import pytest

from authsvc.app import App
from authsvc.problems import KINDS
from tests.support import Client, actions


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_healthy_service_says_so(client: Client, app: App, path: str) -> None:
    """200 `{"status": "ok"}` without credentials, uncached, and nothing on record."""
    answer = client.get(path)
    assert (answer.status, answer.json(), answer.header("Cache-Control")) == (200, {"status": "ok"}, "no-store")
    assert actions(app) == []


def test_health_is_not_limited(client: Client) -> None:
    """A supervisor that asks often must not be told to wait: that would be taken for death."""
    assert {client.get("/healthz").status for _ in range(700)} == {200}
    assert client.get("/healthz").header("RateLimit") is None


@pytest.mark.parametrize("code", KINDS)
def test_every_code_has_its_page(client: Client, code: str) -> None:
    """The `type` of a problem leads to what it means."""
    answer = client.get(f"/problems/{code}")
    kind = KINDS[code]
    assert answer.status == 200
    assert answer.json() == {"code": code, "status": kind.status, "title": kind.title, "detail": kind.meaning}


@pytest.mark.parametrize("code", ["nope", "NOT_FOUND", "not_found%00", "%2e%2e", "__class__", "not_found.json"])
def test_an_unknown_code_is_not_found(client: Client, code: str) -> None:
    """Only the codes of the list have pages."""
    answer = client.get(f"/problems/{code}")
    assert (answer.status, answer.code) == (404, "not_found")


def test_the_type_of_a_problem_is_the_address_of_its_page(client: Client) -> None:
    """`type` is the public URL, `/problems/` and the code, and that path answers."""
    problem = client.get("/nowhere").json()
    assert problem["type"] == "http://127.0.0.1:8000/problems/not_found"
    page = client.get(problem["type"].removeprefix("http://127.0.0.1:8000"))
    assert (page.status, json.loads(page.body)["code"]) == (200, problem["code"])
