"""`authsvc config`, `routes`, `metrics` and `version`: the tables, as text, JSON lines or Markdown."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence

import authsvc
from authsvc.config import oauth, sources
from authsvc.config.settings import Settings
from authsvc.primitives.exposition import PREFIX
from authsvc.primitives.metrics import METRICS
from authsvc.routes import ROUTES


def add_forms(command: ArgumentParser) -> None:
    """The forms in which a table is shown."""
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--markdown", action="store_true", help="the table of the README")


def config(settings: Settings, arguments: Namespace) -> None:
    """Every setting with its value and where it came from; as Markdown, the README's table of defaults."""
    rows = sources.show(settings)
    if arguments.markdown:
        rows += oauth.documented()
        shown = [{"Setting": f"`{row['name']}`", "Default": _code(row["default"]), "Meaning": row["doc"]} for row in rows]
        _markdown(shown)
    elif arguments.json:
        _json_lines(rows)
    else:
        for row in rows:
            print(f"{row['name']} = {row['value'] or '(empty)'}  [{row['source']}]\n    {row['doc']}")


def routes(arguments: Namespace) -> None:
    """The route table."""
    rows = [{"method": r.method, "path": r.path, "who": r.who.name, "limits": ", ".join(r.limits)} for r in ROUTES]
    if arguments.markdown:
        _markdown([{"Endpoint": f"`{r['method']} {r['path']}`", "Who": r["who"], "Limits": r["limits"]} for r in rows])
    elif arguments.json:
        _json_lines(rows)
    else:
        for row in rows:
            print(f"{row['method']:7} {row['path']:24} {row['who']:22} {row['limits']}")


def metrics(arguments: Namespace) -> None:
    """The table of metrics; their values are at /metrics."""
    rows = [{"name": PREFIX + m.name, "kind": m.kind, "labels": ", ".join(m.labels), "help": m.help} for m in METRICS.values()]
    if arguments.markdown:
        _markdown([{"Metric": f"`{r['name']}`", "Kind": r["kind"], "Labels": r["labels"], "Meaning": r["help"]} for r in rows])
    elif arguments.json:
        _json_lines(rows)
    else:
        for row in rows:
            print(f"{row['name']} {row['kind']}{{{row['labels']}}}\n    {row['help']}")


def version(arguments: Namespace) -> None:
    print(json.dumps({"version": authsvc.__version__}) if arguments.json else authsvc.__version__)


def _json_lines(rows: Sequence[Mapping[str, str]]) -> None:
    for row in rows:
        print(json.dumps(row))


def _markdown(rows: Sequence[Mapping[str, str]]) -> None:
    names = list(rows[0])
    for cells in (names, ["---"] * len(names), *([row[name].replace("|", "\\|") for name in names] for row in rows)):
        print("| " + " | ".join(cells) + " |")


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"
