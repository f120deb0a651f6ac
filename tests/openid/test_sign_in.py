"""Signing in, up and out of hand by a real OpenID provider."""

from __future__ import annotations

from authsvc.app import App
from tests.openid.walks import HTML, browser, enter
from tests.support import actions


def test_the_first_sign_in_makes_the_account_and_the_next_ones_find_it(app: App) -> None:
    """The verified address, name and picture are taken from the provider; the identity, not the address, is found again."""
    first = enter(browser(app), "ada")
    second = enter(browser(app), "ada")
    assert (first.status, second.status) == (200, 200)
    assert first["user"]["id"] == second["user"]["id"]
    assert (first["user"]["email"], first["user"]["email_verified"], first["user"]["has_password"]) == ("ada@example.com", True, False)
    assert (first["user"]["name"], first["user"]["picture"]) == ("Ada Lovelace", "https://img.example/a.png")
    assert actions(app) == ["user.registered", "identity.linked", "login.succeeded", "login.succeeded"]


def test_a_browser_is_sent_to_its_account_with_cookies(app: App) -> None:
    """302, and nothing of the tokens in the address."""
    client = browser(app)
    answer = enter(client, "ada", headers=HTML)
    assert (answer.status, answer.header("Location"), answer.body) == (302, "/account", b"")
    assert client.get("/user").json()["email"] == "ada@example.com"
