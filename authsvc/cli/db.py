"""`authsvc db stats`: how large the database is, and what lies in it."""

from __future__ import annotations

import json
from argparse import Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.flows.core import Core
from authsvc.flows.sizes import sizes

MIB = 1_048_576


def _stats(core: Core, arguments: Namespace) -> None:
    """The file, and a line for each table. Counting the rows of a large one takes a while."""
    found = sizes(core)
    if arguments.json:
        print(json.dumps(found))
        return
    print(
        f"{found['path']}: {_mib(found['file_bytes'])}, {_mib(found['free_bytes'])} of it free; write-ahead log {_mib(found['wal_bytes'])}"
    )
    for table in found["tables"]:
        since = f"  since {table['oldest_at']}" if table["oldest_at"] else ""
        print(f"{table['name']:20} {table['rows']:12}{since}")


def _mib(count: int) -> str:
    return f"{count / MIB:.1f} MiB"


ACTS: Acts = {"stats": Act("its size, what is free, and the rows of each table", on_core(_stats))}
