"""Programs for Node that tests run beside ours: the packages of a folder's package-lock.json, installed once outside of the repository."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

OLDEST_NODE = (20, 19)  # Debian 13's; oidc-provider warns that it wants 22, and works
NODE = f"Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]} or later"
INSTALL_SECONDS = 300
PATIENCE_SECONDS = 30.0


def modules(manifests: Path, package: str) -> Path:
    """The folder that has node_modules; without it, skip, but fail where CI has promised Node."""
    folder, missing = install(manifests, package)
    if missing:
        absent(missing)
    return folder


@functools.cache
def install(manifests: Path, package: str) -> tuple[Path, str]:
    """The packages of a folder's package-lock.json in a folder that later runs find; and what was missing for that."""
    files = [manifests / "package.json", manifests / "package-lock.json"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"authsvc-{manifests.name}-{digest}"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or node_version(node) < OLDEST_NODE:
        return folder, NODE
    if folder.exists():
        assert folder.stat().st_uid == os.getuid(), f"{folder} is somebody else's"
        return folder, ""
    if npm is None:
        return folder, "npm"
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        for path in files:
            shutil.copy(path, new)
        if complaint := npm_complaint(npm, new):
            return folder, f"{package}, and npm does not install it: {complaint}"
        try:
            new.rename(folder)
        except OSError:
            if not folder.exists():  # where it does, another run was quicker
                raise
        return folder, ""
    finally:
        shutil.rmtree(new, ignore_errors=True)


def npm_complaint(npm: str, folder: Path) -> str:
    """What goes wrong when the folder's packages are installed there; nothing of theirs is run meanwhile."""
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, cwd=folder, timeout=INSTALL_SECONDS, check=False, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"no end after {INSTALL_SECONDS} s"
    return "; ".join(done.stderr.splitlines()[:4]) if done.returncode else ""


def node_version(node: str) -> tuple[int, int]:
    """Its major and minor version."""
    said = subprocess.run([node, "--version"], timeout=PATIENCE_SECONDS, check=True, capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)\.(\d+)\.", said)
    assert found, said
    return int(found[1]), int(found[2])


def absent(what: str) -> NoReturn:
    """Skip; but fail where CI has promised Node."""
    message = f"on this machine there is no {what} (this needs {NODE} with npm, and once a registry)"
    if os.environ.get("CI_HAS_NODE") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
