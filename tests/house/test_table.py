"""The tables are whole: every route is guarded and described, every code and event is used, and none is used that is not listed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import authsvc
from authsvc import events, problems
from authsvc.config.limits import LIMITS
from authsvc.problems import KINDS
from authsvc.routes import ROUTES, UNSAFE_METHODS, Route
from authsvc.rules.access import ANYBODY_KNOWN, ANYONE, TOKEN_HOLDER

HOUSE = Path(authsvc.__file__).parent
SAFE_METHODS = {"GET"}
UNLIMITED = {"/healthz"}  # it does nothing, and must answer while all else is refused


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_route_is_charged_to_limits_that_exist(route: Route) -> None:
    """Each limit that a route names is declared, so that it can be set and is listed; only /healthz has none."""
    assert set(route.limits) <= LIMITS.keys()
    assert len(route.limits) == len(set(route.limits))
    assert bool(route.limits) is (route.path not in UNLIMITED)


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_route_that_changes_something_knows_its_caller_or_is_limited(route: Route) -> None:
    """No unsafe method is open to anyone without a limit of its own beside the common one for reads (ATTACKS A4)."""
    assert route.unsafe is (route.method in UNSAFE_METHODS or route.changes)
    if route.unsafe and route.who in (ANYONE, ANYBODY_KNOWN, TOKEN_HOLDER):
        assert set(route.limits) - {"read"}


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_route_that_changes_something_by_get_says_so(route: Route) -> None:
    """A GET whose handler also answers a POST changes state, and so is guarded like one (ATTACKS B9)."""
    twins = [other for other in ROUTES if other.handler is route.handler and other.method in UNSAFE_METHODS]

    assert route.method in UNSAFE_METHODS | SAFE_METHODS
    assert route.method in UNSAFE_METHODS or route.changes is bool(twins)


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_route_is_handled_where_its_path_is_named(route: Route) -> None:
    """The docstring of the handler's module names the path, up to its first parameter."""
    module = inspect.getmodule(route.handler)

    assert module is not None
    assert route.path.partition("/:")[0] in str(module.__doc__)
    assert module.__name__.startswith("authsvc.handlers.")


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_routes_own_parameter_is_in_its_path(route: Route) -> None:
    """A rule about `self` looks at a parameter that the path really has."""
    assert route.who.own is None or f"/:{route.who.own}" in route.path
    assert route.who.cap is None or route.who.signed_in
    assert not (route.who.fresh and not route.who.signed_in)


def test_no_route_stands_twice() -> None:
    """One line for each method and path; patterns that differ in a parameter's name only would hide each other."""
    shapes = [(route.method, "/".join(":" if part.startswith(":") else part for part in route.path.split("/"))) for route in ROUTES]

    assert len(shapes) == len(set(shapes))
    assert [route.path for route in ROUTES if not route.path.startswith("/") or route.path.endswith("/")] == []


def test_every_limit_is_charged_somewhere() -> None:
    """A limit that no route names and no flow charges would be a promise that nobody keeps; none is charged at both places."""
    named = {name for route in ROUTES for name in route.limits}
    by_routes = named | {instead for name in named if (instead := LIMITS[name].on_known_device)}

    assert by_routes | limits_of_flows() == LIMITS.keys()
    assert by_routes & limits_of_flows() == set()


def limits_of_flows() -> set[str]:
    """The limits that flows charge by their name: `limits.may(tx, core, "name", …)`, or one of the names of a `LIMITS`."""
    listed = {
        name.value
        for file, tree in sources()
        if file.parent.name == "flows"
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "LIMITS"
        for name in ast.walk(node.value)
        if isinstance(name, ast.Constant)
    }
    return listed | {
        node.args[2].value
        for file, tree in sources()
        if file.parent.name == "flows"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "may"
        if len(node.args) > 2 and isinstance(node.args[2], ast.Constant) and isinstance(node.args[2].value, str)
    }


def test_limits_are_charged_by_one_door() -> None:
    """Only flows/limits.py takes tokens: nowhere else can one forget that a limit may be off, or to put it on record."""
    doors = {
        str(file.relative_to(HOUSE))
        for file, tree in sources()
        if file.parent.name in ("flows", "handlers", "delivery", "pages", "cli") or file.parent == HOUSE
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr in ("buckets", "delays")
    }

    assert doors == {"flows/limits.py"}


def test_what_takes_the_place_of_a_limit_is_one() -> None:
    """On a known device a declared limit takes over, in one step, and it is keyed by the device."""
    instead = {declared.on_known_device for declared in LIMITS.values()} - {None}

    assert instead <= LIMITS.keys()
    assert {LIMITS[str(name)].keyed_by for name in instead} == {"device"}
    assert {LIMITS[str(name)].on_known_device for name in instead} == {None}


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_a_route_for_holders_of_a_cap_is_charged_to_its_caller(route: Route) -> None:
    """Whoever needs a cap has the limit `admin`, unless the route has a limit of its own; nobody else has it."""
    assert ("admin" in route.limits) is (route.who.cap is not None and route.who.own is None and route.charged is None)


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(HOUSE.rglob("*.py")):
        yield file, ast.parse(file.read_text("utf-8"))


def codes_used() -> dict[str, set[str]]:
    """Every code that stands as the first argument of `Problem(…)`, itself or by a constant of its module, with the files."""
    used: dict[str, set[str]] = {}
    for file, tree in sources():
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem" and node.args:
                for code in codes_in(node.args[0], constants):
                    used.setdefault(code, set()).add(file.name)
    return used


def codes_in(node: ast.expr, constants: dict[str, object]) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.Name) and node.id in constants:
        yield str(constants[node.id])
    elif isinstance(node, ast.IfExp):
        yield from codes_in(node.body, constants)
        yield from codes_in(node.orelse, constants)
    else:
        assert ast.unparse(node).endswith((".code", "code")), f"{ast.unparse(node)}: a code that cannot be checked"


def test_every_code_that_is_raised_is_listed() -> None:
    """No Problem has a code outside the table: KINDS would fail only when it is raised."""
    assert {code: files for code, files in codes_used().items() if code not in KINDS} == {}


def test_every_listed_code_is_raised_somewhere() -> None:
    """The table promises no code that callers will never see."""
    assert KINDS.keys() - codes_used().keys() == set()


def test_every_code_is_described() -> None:
    """Each has the status of an error, a title and a meaning in sentences, and is found by its own name."""
    for code, kind in KINDS.items():
        assert code == kind.code == kind.code.lower()
        assert 400 <= kind.status <= 599
        assert kind.title
        assert kind.meaning.endswith(".")


def events_recorded() -> set[str]:
    """The constants of events.py that some act names, directly or as a choice between two."""
    return {
        node.attr
        for file, tree in sources()
        if file.parent.name in ("flows", "delivery", "store")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "events"
    } & {name for name, value in vars(events).items() if isinstance(value, events.Event)}


def test_every_event_is_recorded_somewhere() -> None:
    """The vocabulary has no word that is never said."""
    declared = {name for name, value in vars(events).items() if isinstance(value, events.Event)}

    assert events_recorded() == declared


def test_every_event_is_named_and_described_once() -> None:
    """`thing.happened` in the past tense, no name twice, each constant after its name, each with a sentence."""
    declared = {name: value for name, value in vars(events).items() if isinstance(value, events.Event)}

    assert set(events.EVENTS) == set(declared.values())
    assert len({event.name for event in events.EVENTS}) == len(events.EVENTS)
    for name, event in declared.items():
        assert name == event.name.replace(".", "_").upper()
        assert event.meaning.endswith(".")


def test_events_are_recorded_by_one_door() -> None:
    """Only store/events.py writes the events table (the promise behind audit, webhooks and metrics alike)."""
    writers = [file.name for file, tree in sources() for text in texts(tree) if "INSERT INTO events" in text]

    assert writers == ["events.py"]


def texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_a_problem_with_an_unknown_code_cannot_be_made() -> None:
    """A code that is not in the table fails at once, so that no answer goes out with it."""
    with pytest.raises(KeyError):
        problems.Problem("nonsense")
