"""How an app ends: once or twice, cut short, late requests, in children of any kind, and while others still work for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from authsvc.app import App
from tests.support import Client, FakeWorld, make_app


class EndingWorld(FakeWorld):
    """A world that ends when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Callable[[], object]] = []

    def at_exit(self, act: Callable[[], object]) -> Callable[[], None]:
        self.acts.append(act)

        def take_back() -> None:
            if act in self.acts:
                self.acts.remove(act)

        return take_back

    def end(self) -> None:
        for act in list(self.acts):
            act()


def left(folder: Path) -> list[str]:
    """What lies beside a database that is in use, or was not closed."""
    return [path.name for path in folder.glob("authsvc.db-*")]


def used(folder: Path, world: FakeWorld) -> App:
    """An app with the file open."""
    app = make_app(folder, world)
    Client(app).register()
    assert left(folder)
    return app


def test_a_second_close_closes_what_a_late_request_has_opened(tmp_path: Path) -> None:
    """It is answered, it is counted, and no log of the database stays."""
    app = used(tmp_path, EndingWorld())
    app.close()
    assert left(tmp_path) == []
    assert Client(app).get("/readyz").status == 200
    app.close()
    assert left(tmp_path) == []
    assert not app.core.store._writer.is_open


def test_a_close_that_is_cut_short_closes_the_database_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while deliveries end: the file is closed, and the end of the process does the rest."""
    world = EndingWorld()
    app = used(tmp_path, world)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(app.deliveries, "stop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            app.close()
    assert left(tmp_path) == []
    assert len(world.acts) == 1
    world.end()
    assert world.acts == []
    assert app.deliveries._ended
