"""Rows as lines: whatever text comes in, one row is one line, comes back as it was, and starts no formula."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from authsvc.http import lines

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["=1", "-1", "\t+", '"', ",", "a\r\nb", "\x85", "\u2028", " x "])


@given(value=st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=4))
def test_an_object_is_one_line_and_comes_back(value: dict[str, object]) -> None:
    """By any reader's idea of a line, with nothing that a terminal would obey."""
    line = lines.ndjson(value).decode()
    assert len(line.splitlines()) == 1
    assert lines.visible(line[:-1]) == line[:-1]
    assert json.loads(line) == value


@given(cells=st.lists(TEXT | st.none() | st.integers(), min_size=2, max_size=5))
def test_a_record_is_one_line_and_its_cells_stay_apart(cells: list[object]) -> None:
    """Read by another's reader of CSV: as many cells as went in, each the text with its control characters shown."""
    record = lines.csv(cells).decode()
    assert record.endswith("\r\n")
    assert len(record.splitlines()) == 1
    (read,) = csv.reader(io.StringIO(record, newline=""))
    assert [cell.removeprefix("'") for cell in read] == [
        lines.visible("" if cell is None else str(cell)).removeprefix("'") for cell in cells
    ]
    assert [cell for cell in read if cell.startswith(lines.FORMULA)] == []


def test_what_looks_like_a_formula_begins_with_an_apostrophe() -> None:
    """Each of the characters that spreadsheets take for one; a number that is none keeps its form elsewhere in a cell."""
    assert [lines.csv([start + "1"]) for start in "=+-@"] == [f"'{start}1\r\n".encode() for start in "=+-@"]
    assert lines.csv(["\t1", "\r1", "a=1", None]) == b"'\\u00091,'\\u000d1,a=1,\r\n"


def test_text_beyond_ascii_stays_readable() -> None:
    """Letters and signs are written as they are."""
    assert lines.csv(["Zoë", "東京"]) == "Zoë,東京\r\n".encode()
    assert lines.ndjson({"a": "Zoë"}) == '{"a":"Zoë"}\n'.encode()
