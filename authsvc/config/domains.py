"""A list of domains in a plain file: a domain a line, `#` begins a comment."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.config import parse

MOST_FAULTS = 5  # lines that are named


@dataclass(frozen=True, slots=True)
class DomainFile:
    """What the file held at the start."""

    path: str = ""
    domains: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.path

    def has(self, domain: str) -> bool:
        """Whether it or a domain above it is listed."""
        labels = domain.split(".")
        return any(".".join(labels[start:]) in self.domains for start in range(len(labels)))


def domain_file(value: str) -> DomainFile:
    """The file of this path; an empty one is no list."""
    path = value.strip()
    if not path:
        return DomainFile()
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path} ({error})") from None
    found: set[str] = set()
    faults: list[int] = []
    for number, line in enumerate(lines, 1):
        given = line.partition("#")[0].strip()
        try:
            found.update(parse.domains(given.removeprefix(".")))
        except ValueError:
            faults.append(number)
    if faults:
        listed = ", ".join(map(str, faults[:MOST_FAULTS])) + (", …" if len(faults) > MOST_FAULTS else "")
        raise ValueError(f"{path}: no domain name in line {listed}")
    return DomainFile(path, frozenset(found))
