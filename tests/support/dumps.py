"""A dump of PostgreSQL as a backup has it, and whether something stands in it in any form."""

import base64
import io
from collections.abc import Collection, Iterator

import asyncpg
from sqlalchemy.engine import make_url


async def dump(database_url: str, *, without: Collection[str] = ()) -> dict[str, bytes]:
    """Every table of every schema of ours as COPY writes it, by name; seen by the owner of all."""
    connection = await asyncpg.connect(make_url(database_url).set(drivername="postgresql").render_as_string(False))
    try:
        tables = await connection.fetch("""
            SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
        """)
        found = {}
        for table in (row["name"] for row in tables):
            if table not in without:
                sink = io.BytesIO()
                await connection.copy_from_query(f"SELECT * FROM {table}", output=sink)
                found[table] = sink.getvalue()
        return found
    finally:
        await connection.close()


def places(values: Collection[str], texts: dict[str, bytes]) -> list[tuple[str, str]]:
    """Which of `values` stands in which of `texts`: as it is, in hex, in base64, escaped, or in another case."""
    return [(value, name) for name, text in texts.items() for value in values if _stands(value, text)]


def _stands(value: str, text: bytes) -> bool:
    lower = text.lower()
    return any(form in text for form in _base64(value)) or any(form in lower for form in _plain(value))


def _plain(value: str) -> Iterator[bytes]:
    plain = value.lower()
    for form in (plain, plain.replace("@", "%40"), plain.replace("@", "\\u0040"), plain.replace(" ", "+")):
        yield form.encode()
    yield value.encode().hex().encode()
    yield plain.encode().hex().encode()


def _base64(value: str) -> Iterator[bytes]:
    """However it lies within what was encoded; its ends depend on what stands beside it."""
    for before in range(3):
        encoded = base64.b64encode(b"\x00" * before + value.encode())
        yield encoded[4 if before else 0 : -4]
