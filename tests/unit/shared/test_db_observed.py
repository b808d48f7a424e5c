"""What counts as an error of PostgreSQL, and under which of few names."""

import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.db.observed import error_class


class _Driver(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__()
        self.sqlstate = sqlstate


def from_server(sqlstate: str | None, *, lost: bool = False) -> DBAPIError:
    return DBAPIError("SELECT", {}, _Driver(sqlstate), connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (from_server("40001"), "40"),
        (from_server("57P01"), "57"),
        (from_server("P0001"), "other"),
        (from_server(None), "other"),
        (from_server(None, lost=True), "connection"),
        (InterfaceError("SELECT", {}, _Driver(None)), "connection"),
        (ConnectionRefusedError(), "connection"),
        (TimeoutError(), "connection"),
        (PoolTimeoutError(), "pool"),
        (ValueError(), None),
    ],
)
def test_an_error_has_a_class_or_is_not_of_postgresql(error: Exception, expected: str | None) -> None:
    assert error_class(error) == expected
