"""What each error of SQLite means to a caller."""

from __future__ import annotations

import sqlite3

import pytest

from authsvc.store.faults import meaning

BUSY = ("BUSY", "BUSY_RECOVERY", "BUSY_SNAPSHOT", "BUSY_TIMEOUT", "LOCKED", "LOCKED_SHAREDCACHE", "LOCKED_VTAB")
UNAVAILABLE = (
    *("CANTOPEN", "CANTOPEN_FULLPATH", "CANTOPEN_ISDIR", "CANTOPEN_SYMLINK", "CORRUPT", "CORRUPT_INDEX", "FULL", "INTERRUPT", "NOMEM"),
    *("IOERR", "IOERR_FSTAT", "IOERR_FSYNC", "IOERR_READ", "IOERR_SHMMAP", "IOERR_SHORT_READ", "IOERR_TRUNCATE", "IOERR_WRITE"),
    *("NOTADB", "PERM", "PROTOCOL", "READONLY", "READONLY_CANTINIT", "READONLY_DBMOVED", "READONLY_DIRECTORY", "READONLY_ROLLBACK"),
)
OURS = ("ERROR", "MISUSE", "CONSTRAINT", "CONSTRAINT_UNIQUE", "CONSTRAINT_FOREIGNKEY", "MISMATCH", "RANGE", "TOOBIG", "SCHEMA")


@pytest.mark.parametrize("name", BUSY)
def test_a_lock_is_busy(name: str) -> None:
    """Somebody else holds the file: the caller may come back at once."""
    problem = meaning(failure(name))
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after) == (503, "busy", 1)


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_a_failing_file_is_unavailable(name: str) -> None:
    """The file cannot be used: the caller is told so, whatever SQLite's extended code is."""
    problem = meaning(failure(name))
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after) == (503, "unavailable", 5)


def test_a_file_that_cannot_be_opened_is_not_called_missing() -> None:
    """It may be there, and the process out of descriptors."""
    problem = meaning(failure("CANTOPEN"))
    assert problem is not None
    assert problem.state == "store_unwritable"


@pytest.mark.parametrize("name", OURS)
def test_a_wrong_statement_is_no_problem_of_the_store(name: str) -> None:
    """A fault of ours must not pass for a passing shortage."""
    assert meaning(failure(name)) is None


@pytest.mark.parametrize("error", [sqlite3.ProgrammingError("Cannot operate on a closed database."), sqlite3.InterfaceError("?")])
def test_an_error_of_the_driver_is_no_problem_of_the_store(error: sqlite3.Error) -> None:
    """An error without a code comes from our use of the driver."""
    assert meaning(error) is None


@pytest.mark.parametrize("name", ["BUSY", "IOERR"])
def test_the_cause_goes_to_the_log_and_not_to_the_caller(name: str) -> None:
    """SQLite's words may name paths; only `reason`, which is logged, has them."""
    problem = meaning(failure(name, "cannot open /srv/secret/authsvc.db"))
    assert problem is not None
    assert "/srv/secret/authsvc.db" in str(problem.reason)
    assert "/srv/secret" not in problem.detail
    assert "/srv/secret" not in str(problem)
    assert problem.errors == ()


def failure(name: str, text: str = "words of SQLite") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}")
    error.sqlite_errorname = f"SQLITE_{name}"
    return error
