"""The table of metrics is whole: each is counted or measured somewhere, at one place, and none that it does not have."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import authsvc
from authsvc.primitives.metrics import METRICS

HOUSE = Path(authsvc.__file__).parent
DOORS = {"count", "observe", "gauge"}
# Each kind of bucket has a door of its own, and so has each kind of delivery.
SEVERAL = {
    "limit_charges_total": {"primitives/buckets.py", "store/buckets.py", "store/delays.py"},
    "deliveries_total": {"delivery/worker.py", "delivery/webhooks.py"},
}


def places() -> dict[str, set[str]]:
    """The files that count or measure each metric, by the name that stands there."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(HOUSE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                name = node.args[0].value
                if called.lstrip("_") in DOORS and (name in METRICS or "_" in name):
                    found[name].add(str(file.relative_to(HOUSE)))
    return found


def test_every_metric_is_counted_or_measured_at_one_place() -> None:
    """None is promised and never told; a second place would count twice, or forget what the first one knows."""
    assert {name: files for name, files in places().items() if len(files) > 1} == SEVERAL
    assert METRICS.keys() == places().keys()
