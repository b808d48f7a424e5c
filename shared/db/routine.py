"""Statements that come with every batch go past SQLAlchemy, whose work for each takes several times the driver's.

They are of the same transaction as the rest of it. What comes seldom, or is put together, stays with SQLAlchemy.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

_PARAMETER: Final = re.compile(r"(?<![:\w]):(\w+)")
# Some dozens are written down.
_MOST: Final = 256


async def rows(connection: AsyncConnection, statement: str, /, **parameters: object) -> Sequence[Sequence[Any]]:
    """What `statement`, with `:name` for each of `parameters`, finds: rows in the order of their columns.

    `connection` is in a transaction: SQLAlchemy begins one with its own first statement only.
    Raises what the driver raises, which `engine.answering` knows.
    """
    held = connection.sync_connection
    assert held is not None, "the connection is open"
    driver: Any = held.connection.driver_connection
    assert driver.is_in_transaction(), "a transaction has begun"
    numbered, names = _numbered(statement)
    found: Sequence[Sequence[Any]] = await driver.fetch(numbered, *[parameters[name] for name in names])
    return found


@lru_cache(maxsize=_MOST)
def _numbered(statement: str) -> tuple[str, Sequence[str]]:
    """The statement as the driver takes it, and the names of its parameters by their numbers."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    places = {name: f"${place}" for place, name in enumerate(names, start=1)}
    return _PARAMETER.sub(lambda found: places[found[1]], statement), names
