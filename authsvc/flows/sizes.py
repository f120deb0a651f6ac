"""How large the database is, for its operator."""

from __future__ import annotations

import os
from typing import Any

from authsvc.flows.core import Core
from authsvc.flows.users import timestamp

WAL = "-wal"


def sizes(core: Core) -> dict[str, Any]:
    """Bytes on the disk, and rows by table."""
    with core.store.read() as tx:
        page_bytes, pages, free = tx.stats.pages()
        tables = tx.stats.tables()
    return {
        "path": core.store.path,
        "file_bytes": page_bytes * pages,
        "free_bytes": page_bytes * free,
        "wal_bytes": bytes_of_log(core.store.path),
        "tables": [{"name": table.name, "rows": table.rows, "oldest_at": timestamp(table.oldest_at)} for table in tables],
    }


def bytes_of_log(path: str) -> int:
    """Of the write-ahead log beside a database."""
    try:
        return os.stat(path + WAL).st_size
    except OSError:
        return 0
