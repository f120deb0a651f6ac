"""Moving in from a real Django, and imports that are killed, raced or run out of disk: whole accounts, none twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.servers import LIMITED, PATIENCE_SECONDS, ROOT, command, environment, free_port, python, serving
from tests.foreign import DJANGO_HASHERS
from tests.support import PASSWORD, Client, running

SETTINGS = f"""
SECRET_KEY = "only for testing"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "django.db"}}}}
USE_TZ = True
PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{{name}}" for name in {DJANGO_HASHERS!r}]
"""
PEOPLE = f"""
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
for hasher in ("pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt"):
    User.objects.create(username=hasher, email=hasher + "@example.com", first_name="Zoë", password=make_password({PASSWORD!r}, hasher=hasher))
gone = User(username="gone", email="gone@example.com", is_active=False)
gone.set_unusable_password()
gone.save()
"""
KILLED = """
import os, signal, sys
from authsvc.flows import moving_in
real, left = moving_in.write, [int(sys.argv[1])]

def write(*arguments):
    written = real(*arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return written

moving_in.write = write
from authsvc.__main__ import main
sys.exit(main(["import", sys.argv[2]]))
"""


def people(file: Path, count: int) -> Path:
    head = json.dumps({"authsvc": "export", "version": 1})
    rows = [json.dumps({"type": "user", "email": f"{number}@example.com", "app_metadata": {"n": number}}) for number in range(count)]
    file.write_text("\n".join([head, *rows, json.dumps({"type": "end", "users": count})]) + "\n")
    return file


def test_people_of_a_real_django_sign_in_with_the_passwords_they_had(tmp_path: Path) -> None:
    """By the lines of the README, with Django's own hashers at their own costs; who is not active there is disabled here."""
    (tmp_path / "old.py").write_text(SETTINGS)
    lines = (ROOT / "README.md").read_text("utf-8").split("<!-- export -->")[1].split("<!-- /export -->")[0]
    for arguments, stdin in (
        (["migrate", "-v", "0"], ""),
        (["shell", "-v", "0"], PEOPLE),
        (["shell", "-v", "0"], re.sub(r"```(python)?", "", lines)),
    ):
        shown = subprocess.run(
            [sys.executable, "-m", "django", *arguments, "--settings", "old"],
            cwd=tmp_path,
            env=environment(tmp_path, 1, {}) | {"PYTHONPATH": str(tmp_path)},
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
    (tmp_path / "django.ndjson").write_text(shown.stdout)
    done = command(tmp_path, "import", "django.ndjson", "--json", hash_budget_mib=128)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["made"] == 7
    with running(tmp_path, hash_budget_mib=128) as app:
        client = Client(app)
        for hasher in ("pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt"):
            entered = client.login(f"{hasher}@example.com")
            assert (entered.status, entered["user"]["name"]) == (200, "Zoë")
            assert client.login(f"{hasher}@example.com", PASSWORD + "x").status == 401
        assert client.login("gone@example.com").status == 401


def test_an_import_that_is_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """After kill -9 between two batches every account is whole; the same command makes the rest and none twice."""
    file = people(tmp_path / "in", 700)
    assert python(tmp_path, "-c", KILLED, "2", str(file)).returncode == -signal.SIGKILL
    again = command(tmp_path, "import", str(file), "--json")
    assert (again.returncode, json.loads(again.stdout)["made"], json.loads(again.stdout)["there"]) == (0, 300, 400)
    assert len(command(tmp_path, "user", "list").stdout.splitlines()) == 700


def test_two_imports_of_one_file_at_once_make_nobody_twice(tmp_path: Path) -> None:
    """Beside a running server: together they make each account once, and the server goes on."""
    file = people(tmp_path / "in", 600)
    with serving(tmp_path) as server:
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "authsvc", "import", str(file), "--json"],
                cwd=tmp_path,
                env=environment(tmp_path, free_port(), {}),
                stdout=subprocess.PIPE,
            )
            for _ in range(2)
        ]
        told = [json.loads(one.communicate(timeout=PATIENCE_SECONDS)[0]) for one in both]
        assert [one.returncode for one in both] == [0, 0]
        assert sum(one["made"] for one in told) == 600
        assert sum(one["there"] for one in told) == 600
        assert server.caller().register("new@example.com").status == 201
        assert server.stop() == 0


def test_an_import_onto_a_full_disk_says_how_far_it_came(tmp_path: Path) -> None:
    """What was made is whole; the message says that the same command goes on, and it does once there is room."""
    file = people(tmp_path / "in", 2_000)
    assert command(tmp_path, "user", "list").returncode == 0
    done = python(tmp_path, "-c", LIMITED, "1200000", sys.executable, "-m", "authsvc", "import", str(file))
    stopped = re.search(r"stopped after (\d+) were made, each whole; the same command goes on from there", done.stderr)
    assert done.returncode == 1
    assert stopped, done.stderr
    assert 0 < int(stopped[1]) < 2_000
    again = json.loads(command(tmp_path, "import", str(file), "--json").stdout)
    assert (again["made"], again["there"]) == (2_000 - int(stopped[1]), int(stopped[1]))
