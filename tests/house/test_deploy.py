"""What scripts/deploy says exists: settings, commands and files; and systemd takes the unit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from authsvc.__main__ import COMMANDS
from authsvc.config.settings import declared
from tests.wire.servers import ROOT, serving

DEPLOY = ROOT / "scripts" / "deploy"
FILES = sorted(path.name for path in DEPLOY.iterdir())
MOST_EXPOSED = 20  # tenths, of systemd's own measure: 0 is nothing, 100 all


def text(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_only_settings_that_exist_and_the_readme_names_it(name: str) -> None:
    """Every AUTHSVC_… is a setting, or a setting's file; each value is one that the setting takes."""
    known = {setting.variable: setting for setting in declared().values()}
    for variable, value in re.findall(r"\b(AUTHSVC_[A-Z_]+)=([^\s`]+?)[.,:]?(?=[\s`]|$)", text(name)):
        setting = known[variable.removesuffix("_FILE")]
        if not variable.endswith("_FILE") and value != "…":
            setting.parse(value)
    assert {variable.removesuffix("_FILE") for variable in re.findall(r"\bAUTHSVC_[A-Z_]+\b", text(name))} <= known.keys()
    assert name == "Dockerfile.dockerignore" or f"scripts/deploy/{name}" in (ROOT / "README.md").read_text("utf-8")


def test_the_commands_that_are_run_exist() -> None:
    """What the unit starts and what the image starts."""
    (started,) = re.findall(r"^ExecStart=\S*/authsvc (\w+)$", text("authsvc.service"), re.MULTILINE)
    (program,) = re.findall(r"^ENTRYPOINT (.*)$", text("Dockerfile"), re.MULTILINE)
    (words,) = re.findall(r"^CMD (.*)$", text("Dockerfile"), re.MULTILINE)
    assert (json.loads(program), json.loads(words)) == (["authsvc"], [started])
    assert started in COMMANDS


def test_what_the_image_copies_is_there_and_is_not_ignored() -> None:
    """All that a build needs, and nothing else of the checkout."""
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text("Dockerfile"), re.MULTILINE) for word in line.split()]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {f"!{name}" for name in copied} == {line for line in text("Dockerfile.dockerignore").splitlines() if line.startswith("!")}


def test_the_image_is_not_root_and_writes_to_its_volume_only() -> None:
    """A number as the user, and the database where the volume is."""
    found = dict(re.findall(r"^(USER|VOLUME|WORKDIR) (\S+)$", text("Dockerfile"), re.MULTILINE))
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", found["USER"])
    assert found["VOLUME"] == found["WORKDIR"]
    assert f"AUTHSVC_DATABASE={found['VOLUME']}/" in text("Dockerfile")


def test_the_health_check_tells_a_service_from_none(tmp_path: Path) -> None:
    """0 while it is ready, not 0 when nobody answers; it needs nothing but Python, and asks no proxy that Docker names."""
    (check,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", text("Dockerfile"), re.MULTILINE)
    program, option, code = json.loads(check)
    assert (program, option) == ("python", "-c")
    with serving(tmp_path) as server:
        here = code.replace("8000", str(server.port))
        proxied = os.environ | {"http_proxy": "http://127.0.0.1:9"}
        assert subprocess.run([sys.executable, option, here], env=proxied, check=False).returncode == 0
    assert subprocess.run([sys.executable, option, here], check=False, stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze on this machine")
def test_systemd_knows_every_line_of_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    """No unknown setting, and by systemd's own measure a service that could do little harm."""
    unit = tmp_path / "authsvc.service"
    unit.write_text(text("authsvc.service").replace("/opt/authsvc/bin/authsvc", sys.executable), "utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], check=False, capture_output=True, text=True)
    assert [line for line in verified.stderr.splitlines() if "authsvc" in line] == []
    measure = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", unit]
    security = subprocess.run(measure, check=False, capture_output=True, text=True)
    assert security.returncode == 0, security.stdout
