"""Writes the generated tables into README.md, between their markers. `--check` only says whether they are up to date."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
TABLES = {"settings": "config", **{name: name for name in ("routes", "problems", "events", "metrics", "commands")}}


def main() -> int:
    before = after = README.read_text("utf-8")
    for name, command in TABLES.items():
        arguments = [sys.executable, "-m", "authsvc", command, "--markdown"]
        table = subprocess.run(arguments, env={}, check=True, capture_output=True, text=True).stdout
        after = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda match, table=table: match[1] + table + match[2], after, flags=re.DOTALL
        )
    if after == before:
        return 0
    if "--check" in sys.argv:
        print("README.md: a table is out of date; run scripts/check --fix")
        return 1
    README.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
