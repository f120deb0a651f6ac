"""`authsvc config`, `routes`, `problems`, `events`, `metrics`, `commands` and `version`: the tables, as text, JSON lines or Markdown."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence

import authsvc
from authsvc.config import oauth, sources
from authsvc.config.settings import Settings
from authsvc.events import EVENTS
from authsvc.primitives.exposition import PREFIX
from authsvc.primitives.metrics import METRICS
from authsvc.problems import KINDS
from authsvc.routes import ROUTES

Row = Mapping[str, str]


def add_forms(command: ArgumentParser) -> None:
    """The forms in which a table is shown."""
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--markdown", action="store_true", help="the table of the README")


def config(settings: Settings, arguments: Namespace) -> None:
    """Every setting with its value and where it came from; as Markdown, the README's table of defaults."""
    rows = [*sources.show(settings), *(oauth.documented() if arguments.markdown else ())]
    _show(
        arguments,
        rows,
        text=lambda row: f"{row['name']} = {row['value'] or '(empty)'}  [{row['source']}]\n    {row['doc']}",
        markdown=lambda row: {"Setting": f"`{row['name']}`", "Default": _code(row["default"]), "Meaning": row["doc"]},
    )


def routes(arguments: Namespace) -> None:
    """The route table."""
    _show(
        arguments,
        [{"method": r.method, "path": r.path, "who": r.who.name, "limits": ", ".join(r.limits)} for r in ROUTES],
        text=lambda row: f"{row['method']:7} {row['path']:24} {row['who']:22} {row['limits']}",
        markdown=lambda row: {"Endpoint": f"`{row['method']} {row['path']}`", "Who": row["who"], "Limits": row["limits"]},
    )


def problems(arguments: Namespace) -> None:
    """The table of codes that a refusal may have."""
    _show(
        arguments,
        [{"code": kind.code, "status": str(kind.status), "meaning": kind.meaning} for kind in KINDS.values()],
        text=lambda row: f"{row['code']} ({row['status']})\n    {row['meaning']}",
        markdown=lambda row: {"Code": f"`{row['code']}`", "Status": row["status"], "Meaning": row["meaning"]},
    )


def events(arguments: Namespace) -> None:
    """The table of what is recorded, and told to webhooks; `own`: whether the account's owner sees it in their own trail."""
    _show(
        arguments,
        [{"name": e.name, "own": "no" if e.internal else "yes", "meaning": e.meaning} for e in EVENTS if not e.counted_only],
        text=lambda row: f"{row['name']}\n    {row['meaning']}",
        markdown=lambda row: {"Event": f"`{row['name']}`", "Own trail": row["own"], "Meaning": row["meaning"]},
    )


def metrics(arguments: Namespace) -> None:
    """The table of metrics; their values are at /metrics."""
    _show(
        arguments,
        [{"name": PREFIX + m.name, "kind": m.kind, "labels": ", ".join(m.labels), "help": m.help} for m in METRICS.values()],
        text=lambda row: f"{row['name']} {row['kind']}{{{row['labels']}}}\n    {row['help']}",
        markdown=lambda row: {"Metric": f"`{row['name']}`", "Kind": row["kind"], "Labels": row["labels"], "Meaning": row["help"]},
    )


def commands(arguments: Namespace, known: Mapping[str, str]) -> None:
    """Every command, and what it is for. Its options are told by `-h`."""
    _show(
        arguments,
        [{"command": f"authsvc {name}", "help": meaning} for name, meaning in known.items()],
        text=lambda row: f"{row['command']:28} {row['help']}",
        markdown=lambda row: {"Command": f"`{row['command']}`", "For": row["help"]},
    )


def version(arguments: Namespace) -> None:
    print(json.dumps({"version": authsvc.__version__}) if arguments.json else authsvc.__version__)


def _show(arguments: Namespace, rows: Sequence[Row], *, text: Callable[[Row], str], markdown: Callable[[Row], Row]) -> None:
    """The rows in the form that is wanted."""
    if arguments.markdown:
        shown = [markdown(row) for row in rows]
        names = list(shown[0])
        for cells in (names, ["---"] * len(names), *([row[name].replace("|", "\\|") for name in names] for row in shown)):
            print("| " + " | ".join(cells) + " |")
        return
    for row in rows:
        print(json.dumps(row) if arguments.json else text(row))


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"
