"""Statements as SQLAlchemy takes them, each read once: it would look for its parameters whenever one is made."""

from functools import lru_cache
from typing import Final

import sqlalchemy
from sqlalchemy import TextClause

# A few hundred are written down; those that are put together from clauses must not add up.
_MOST: Final = 1_024


@lru_cache(maxsize=_MOST)
def text(statement: str) -> TextClause:
    """`statement` with its parameters. Whoever binds values to it gets another one."""
    return sqlalchemy.text(statement)
