"""The house stands: rooms import downwards only, and clock, chance and SQL are in their own rooms."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import authsvc

HOUSE = Path(authsvc.__file__).parent
README = (HOUSE.parent / "README.md").read_text("utf-8")
FLOORS = (
    {"problems", "events", "world"},
    {"config"},
    {"primitives", "http"},
    {"rules", "consumer"},
    {"store"},
    {"factors", "providers"},
    {"flows", "delivery"},
    {"pages"},
    {"handlers"},
    {"routes"},
    {"openapi"},
    {"wsgi"},
    {"app"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PARTS = {"access_log": "wsgi", "admission": "wsgi"}  # a file of a room that is not a folder
MOST_LINES = 250
SHAPELESS = re.compile(r"util|helper|manager|misc|common$")
OF_THE_WORLD = re.compile(
    r"(time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|sleep)|os\.(urandom|getrandom)|secrets\.\w+|random\.\w+|uuid\.uuid[14]"
    r"|(datetime\.)?(datetime|date)\.(now|utcnow|today)|socket\.(socket|create_connection|getaddrinfo))"
)


def upward_imports(folder: Path) -> list[str]:
    """Every import between rooms that does not go down, as `flows/login.py: handlers`."""
    found = []
    for file, tree in modules(folder):
        here = room(file.relative_to(folder).parts[0].removesuffix(".py"))
        for name in imported(tree):
            there = room(name.split(".")[0])
            if here not in ("__init__", there) and FLOOR[there] >= FLOOR[here]:
                found.append(f"{file.relative_to(folder)}: {there}")
    return found


def room(name: str) -> str:
    return PARTS.get(name, name)


def modules(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(folder.rglob("*.py")):
        yield file, ast.parse(file.read_text("utf-8"), str(file))


def imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports of ours, below `authsvc.`; inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it goes"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.removeprefix("authsvc.") for name in names if name.startswith("authsvc.") and name != "authsvc.__version__")


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every call by its full name, imports followed: `from time import sleep; sleep(1)` is time.sleep."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0] for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield known.get(first, first) + dot + rest, node.lineno


def test_imports_go_down_only() -> None:
    """A room knows only those on lower floors; rooms of one floor do not meet; within a room all is free."""
    assert upward_imports(HOUSE) == []


def test_the_readme_draws_the_house_as_it_stands() -> None:
    """A line for each floor, the highest first, that begins with its rooms."""
    picture = README.split("<!-- house -->\n```text\n")[1].split("```")[0]

    assert [set(re.split(r" {2,}", line)[0].split(", ")) for line in picture.splitlines()] == list(reversed(FLOORS))


def test_every_room_has_a_floor() -> None:
    """Nothing stands outside the house, and no room is empty."""
    rooms = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}

    assert {room(name) for name in rooms} - FLOOR.keys() == {"__init__"}
    assert [
        path.name for path in HOUSE.iterdir() if path.is_dir() and path.name != "__pycache__" and len(list(path.glob("*.py"))) < 2
    ] == []


@pytest.mark.parametrize(
    ("file", "line", "caught"),
    [
        ("primitives/ids.py", "from authsvc.flows import users", "primitives/ids.py: flows"),
        ("rules/access.py", "import authsvc.store.users", "rules/access.py: store"),
        ("http/body.py", "from authsvc.primitives.ids import new", "http/body.py: primitives"),
        ("flows/login.py", "from authsvc import wsgi", "flows/login.py: wsgi"),
        ("problems.py", "from authsvc.world import World", "problems.py: world"),
        ("handlers/users.py", "def late():\n    from authsvc.app import App", "handlers/users.py: app"),
        ("access_log.py", "if TYPE_CHECKING:\n    from authsvc.app import App", "access_log.py: app"),
    ],
)
def test_an_upward_import_is_caught(tmp_path: Path, file: str, line: str, caught: str) -> None:
    """Planted in a copy of the tree, at the top, inside a function or for type checking alone, it does not go unseen."""
    copy = tmp_path / "authsvc"
    shutil.copytree(HOUSE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert upward_imports(copy) == []

    with (copy / file).open("a", encoding="utf-8") as planted:
        planted.write(f"\n{line}\n")

    assert upward_imports(copy) == [caught]


def test_every_module_says_what_it_is() -> None:
    """One sentence opens each module; an empty `__init__` needs none."""
    silent = [str(file) for file, tree in modules(HOUSE) if tree.body and not ast.get_docstring(tree)]

    assert silent == []


def test_files_are_short_and_named_for_what_they_hold() -> None:
    """No file over 250 lines, and none whose name says nothing (utils, helpers, manager)."""
    files = [file for file, _ in modules(HOUSE)]

    assert [file.name for file in files if len(file.read_text("utf-8").splitlines()) > MOST_LINES] == []
    assert [file.name for file in files if SHAPELESS.search(file.stem)] == []


def test_only_the_world_touches_clock_chance_and_network() -> None:
    """Outside world.py nobody asks for time, random bytes, a pause or a socket, so that tests can turn the clock."""
    found = {
        f"{file.relative_to(HOUSE)}:{line}: {name}"
        for file, tree in modules(HOUSE)
        for name, line in calls(tree)
        if OF_THE_WORLD.fullmatch(name) and file != HOUSE / "world.py"
    }
    used = {name for file, tree in modules(HOUSE) for name, _ in calls(tree) if OF_THE_WORLD.fullmatch(name)}

    assert found == set()
    assert {"time.time_ns", "time.sleep", "os.urandom"} <= used, "the world itself does"


def test_only_the_store_speaks_sql() -> None:
    """Outside store/ nobody executes statements, imports sqlite3 or spells SQL."""
    sql = re.compile(
        r"\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|PRAGMA|CREATE\s+TABLE|BEGIN\s+IMMEDIATE)\b", re.DOTALL
    )
    found = []
    for file, tree in modules(HOUSE):
        if (HOUSE / "store") in file.parents:
            continue
        found += [
            f"{file.name}:{line}: {name}"
            for name, line in calls(tree)
            if name.split(".")[-1] in ("execute", "executemany", "executescript")
        ]
        found += [f"{file.name}: sqlite3" for node in ast.walk(tree) if isinstance(node, ast.Import) and node.names[0].name == "sqlite3"]
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        found += [f"{file.name}: {text[:40]}" for text in texts if sql.match(text)]

    assert found == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("from time import sleep as wait\nwait(1)", "time.sleep"),
        ("import datetime as d\nd.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
        ("import os\nos.urandom(8)", "os.urandom"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("from random import choice\nchoice([1])", "random.choice"),
    ],
)
def test_a_call_by_another_name_is_caught(source: str, name: str) -> None:
    """However it was imported, a call that only the world may make is recognised."""
    assert [found for found, _ in calls(ast.parse(source)) if OF_THE_WORLD.fullmatch(found)] == [name]
