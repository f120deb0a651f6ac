"""Which route a method and path belong to. Paths are matched whole and literally; `:name` stands for one segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from authsvc.problems import Problem


class Entry(Protocol):
    """What the router needs to know of a route."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


R = TypeVar("R", bound=Entry)
NO_PARAMS: Mapping[str, str] = {}


class Router(Generic[R]):
    """Literal paths by one look-up; the few with parameters by their number of segments."""

    def __init__(self, routes: Iterable[R]) -> None:
        self._literal: dict[str, dict[str, R]] = {}
        self._patterns: dict[int, dict[tuple[str, ...], dict[str, R]]] = {}
        for route in routes:
            segments = tuple(route.path.split("/"))
            patterned = any(segment.startswith(":") for segment in segments)
            same_length = self._patterns.setdefault(len(segments), {})
            methods = same_length.setdefault(segments, {}) if patterned else self._literal.setdefault(route.path, {})
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[R, Mapping[str, str]]:
        """The route and its path parameters. HEAD goes where GET goes (RFC 9110 section 9.3.2)."""
        methods, params = self._methods(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise Problem("method_not_allowed", headers=[("Allow", _allow(methods))])
        return route, params

    def allowed(self, path: str) -> str:
        """The methods of a path, as the Allow header lists them."""
        return _allow(self._methods(path)[0])

    def _methods(self, path: str) -> tuple[dict[str, R], Mapping[str, str]]:
        literal = self._literal.get(path)
        if literal:
            return literal, NO_PARAMS
        segments = path.split("/")
        for pattern, methods in self._patterns.get(len(segments), {}).items():
            params = _match(pattern, segments)
            if params is not None:
                return methods, params
        raise Problem("not_found")


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    params = {}
    for expected, actual in zip(pattern, segments, strict=True):
        if expected.startswith(":") and actual:
            params[expected[1:]] = actual
        elif expected != actual:
            return None
    return params


def _allow(methods: Iterable[str]) -> str:
    names = set(methods) | {"OPTIONS"}
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))
