"""Fields and messages of forms: what assistive technology is told, and what is never shown again."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from authsvc.app import App
from authsvc.http.html import EMPTY, Safe, fill, join, text
from authsvc.pages import forms
from authsvc.problems import Fault, Problem, invalid
from tests.support import EMAIL, PASSWORD, Answer, Client, running

HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"


class Elements(HTMLParser):
    """All start tags with their attributes, and the text by the id of the element around it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._id = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id") or ""

    def handle_data(self, data: str) -> None:
        self.texts[self._id] = self.texts.get(self._id, "") + data

    def one(self, tag: str, **attributes: str) -> dict[str, str | None]:
        """The attributes of the one such element."""
        (found,) = [attrs for name, attrs in self.tags if name == tag and attributes.items() <= attrs.items()]
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app without limits for forms that are refused."""
    limits = dict.fromkeys(("limit_login", "limit_login_account", "limit_login_network", "limit_register", "limit_mail_network"), "0")
    with running(tmp_path_factory.mktemp("shared"), **limits) as app:
        yield app


def send(app: App, path: str, **fields: str) -> Answer:
    """Post a form as a browser."""
    return Client(app).call("POST", path, raw=urlencode(fields).encode(), content_type=FORM, headers=HTML)


def test_a_faulty_field_is_marked_and_described(shared: App) -> None:
    """Hint and error are named by aria-describedby, in this order; a field without a fault is not marked."""
    answer = send(shared, "/register", email="zoe@mail.com", password="short")
    page = Elements(answer.body.decode())
    field = page.one("input", name="password")
    assert (answer.status, field["aria-invalid"], field["aria-describedby"]) == (422, "true", "password-hint password-error")
    assert page.texts["password-error"].strip() == "At least 8 characters."
    assert page.one("div", role="alert")
    for name in ("email", "name"):
        assert not {"aria-invalid", "aria-describedby"} & page.one("input", name=name).keys()


def test_every_field_has_a_label_and_its_autocomplete(shared: App) -> None:
    """So that password managers fill in and offer what belongs there."""
    page = Elements(Client(shared).get("/register", headers=HTML).body.decode())
    fields = {name: page.one("input", name=name) for name in ("email", "name", "password")}
    assert {name: field["autocomplete"] for name, field in fields.items()} == {
        "email": "username",
        "name": "name",
        "password": "new-password",
    }
    for field in fields.values():
        assert page.one("label", **{"for": str(field["id"])})
    assert [name for name, field in fields.items() if "required" in field] == ["email", "password"]


@pytest.mark.parametrize(
    ("path", "fields", "kept", "secret"),
    [
        ("/login", {"email": EMAIL, "password": PASSWORD}, {"email": EMAIL}, PASSWORD),
        ("/login", {"email": "no address", "password": PASSWORD}, {"email": "no address"}, PASSWORD),
        ("/register", {"email": "x@y", "name": "Zoë", "password": PASSWORD}, {"email": "x@y", "name": "Zoë"}, PASSWORD),
        ("/otp/verify", {"challenge_id": "chl_1", "code": "987654"}, {"challenge_id": "chl_1"}, "987654"),
        ("/password/forgot", {"email": "x@y"}, {"email": "x@y"}, PASSWORD),
    ],
)
def test_what_was_typed_is_kept_but_no_secret(shared: App, path: str, fields: dict[str, str], kept: dict[str, str], secret: str) -> None:
    """A refused form comes back with its values; passwords and codes are nowhere on it."""
    answer = send(shared, path, **fields)
    assert 400 <= answer.status < 500
    body = answer.body.decode()
    values = {attrs.get("name"): attrs.get("value") for tag, attrs in reversed(Elements(body).tags) if tag == "input"}
    assert {name: values[name] for name in kept} == kept
    assert secret not in body
    assert not answer.header_list("Set-Cookie")


@pytest.mark.parametrize("fields", [{}, {"email": ""}, {"email": "", "password": ""}, {"email": EMAIL, "password": ""}])
def test_an_empty_field_is_asked_for(shared: App, fields: dict[str, str]) -> None:
    """What was left empty is absent, and told beside its field."""
    answer = send(shared, "/login", **fields)
    page = Elements(answer.body.decode())
    assert answer.status == 422
    assert page.texts["password-error"].strip() == "This field is needed."
    assert ("email-error" in page.texts) is not bool(fields.get("email"))


def test_an_alert_tells_of_faults_that_no_field_shows() -> None:
    """One line each, once; where all stand beside their fields, it sends the reader there."""
    other = invalid("redirect_to", "not_allowed", "Not <there>.")
    assert forms.alert(other) == '<div class="alert" role="alert"><p>Not &lt;there&gt;.</p></div>'
    assert "fields below" in forms.alert(invalid("email", "invalid", "Wrong."))
    assert "Wrong." not in forms.alert(invalid("email", "invalid", "Wrong."))
    both = Problem("invalid_request", errors=[Fault("a", "invalid", "One."), Fault("email", "invalid", "Two."), Fault("b", "x", "Three.")])
    assert forms.alert(both).count("<p>") == 2
    assert "ait" in forms.alert(Problem("rate_limited"))
    assert forms.alert(None) == EMPTY


def test_nothing_is_made_of_nothing() -> None:
    """No empty notice, no empty hidden field."""
    assert forms.notice("") == forms.hidden("a", None) == forms.hidden("a", "") == EMPTY


def test_only_what_is_safe_by_its_type_is_left_as_it_is() -> None:
    """A plain string is escaped, whatever it says; putting two together does not make them safe."""
    from string import Template

    assert text("<b>\"'&") == "&lt;b&gt;&quot;&#x27;&amp;"
    assert text(Safe("<b>")) == "<b>"
    assert not isinstance(Safe("<b>") + "<i>", Safe)
    assert text(Safe("<b>") + "<i>") == "&lt;b&gt;&lt;i&gt;"
    assert join([Safe("<b>"), Safe("<i>")]) == "<b><i>"
    assert fill(Template("$a$b"), a="<", b=Safe("<")) == "&lt;<"
    with pytest.raises(KeyError):
        fill(Template("$a$b"), a="")
    assert text(5) == "5"


def test_the_name_of_an_account_for_password_managers_is_not_sent() -> None:
    """It has no name, is hidden, and no browser holds the form back for what stands in it."""
    page = Elements(forms.username('zoë"@mail.com'))
    ((tag, field),) = page.tags
    assert (tag, field["value"], field["autocomplete"]) == ("input", 'zoë"@mail.com', "username")
    assert "name" not in field
    assert "hidden" in field
    assert field["type"] != "email"
