"""What the README lists is what the program prints: its tables are generated, and checked here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import authsvc
from authsvc.__main__ import main

TABLES = ("settings", "routes", "problems", "events", "metrics", "commands")
README = Path(authsvc.__file__).parent.parent / "README.md"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, [{"settings": "config"}.get(name, name), "--markdown"]) for name in TABLES],
)
def test_a_table_of_the_readme_is_the_output_of_its_command(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between its markers stands exactly what the command prints with an empty environment."""
    for variable in [variable for variable in os.environ if variable.startswith("AUTHSVC_")]:
        monkeypatch.delenv(variable)
    assert main(arguments) == 0
    printed = capsys.readouterr().out

    found = re.findall(rf"^<!-- {name} -->\n(.*?)^<!-- /{name} -->$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)

    assert found == [printed]


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    """Every AUTHSVC_… in the text is a setting, or its file; `<NAME>` stands for any provider."""
    from authsvc.config import oauth
    from authsvc.config.settings import declared

    known = {setting.variable for setting in declared().values()} | {"AUTHSVC_CONFIG"}
    named = set(re.findall(r"\bAUTHSVC_[A-Z_]*[A-Z]\b", README.read_text("utf-8")))

    unknown = {name.removesuffix("_FILE") for name in named} - known - {"AUTHSVC_X", "AUTHSVC_LIMIT", "AUTHSVC_OAUTH"}
    assert {name for name in unknown if oauth.split(name.removeprefix("AUTHSVC_").lower()) is None} == set()


def test_the_readme_names_no_route_or_code_that_does_not_exist() -> None:
    """Every `METHOD /path` in the text is a route, and every command is one."""
    from authsvc.routes import ROUTES

    text = README.read_text("utf-8")
    named = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[a-z/:_]*)`", text))

    assert named
    assert named <= {(route.method, route.path) for route in ROUTES}
