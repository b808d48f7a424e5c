"""Dead letters on their way back, once each: PostgreSQL remembers which, whatever engine the log has.

A letter is claimed in a transaction of its own before it is published and marked done after. Of two people who
replay at once one gets it; what was claimed and not done may have gone or not, and is told so instead of going
again by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import TextClause, text

from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import LeadflowError, LogUnavailable, Refused
from shared.log.dead_letter import Origin, StoredLetter
from shared.log.protocol import Log

_PLACE = 'topic = :topic AND partition = :partition AND "offset" = :offset AND published_at = :published_at'
_CLAIM = text("""
    INSERT INTO log.replayed_letter (topic, partition, "offset", published_at, state, replayed_at)
    VALUES (:topic, :partition, :offset, :published_at, 'begun', :now) ON CONFLICT DO NOTHING
""")
_CLAIM_AGAIN = text(f"UPDATE log.replayed_letter SET state = 'begun', replayed_at = :now WHERE {_PLACE}")  # noqa: S608
_DONE = text(f"UPDATE log.replayed_letter SET state = 'done' WHERE {_PLACE}")  # noqa: S608
_RELEASE = text(f"DELETE FROM log.replayed_letter WHERE {_PLACE}")  # noqa: S608
_KNOWN = text("""
    SELECT known.* FROM log.replayed_letter AS known
    JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[]), CAST(:offsets AS bigint[]))
        AS wanted (topic, partition, "offset") USING (topic, partition, "offset")
""")


@dataclass(frozen=True, slots=True)
class Replay:
    """That a letter was sent back. `begun`: whether it went is not known."""

    state: Literal["begun", "done"]
    at: datetime


async def replays_of(database: Database, origins: Sequence[Origin]) -> Mapping[Origin, Replay]:
    """Those of `origins` that were sent back already."""
    places = {(origin.partition, origin.offset, origin.published_at): origin for origin in origins}
    columns = {
        "topics": [origin.partition.topic for origin in origins],
        "partitions": [origin.partition.number for origin in origins],
        "offsets": [origin.offset for origin in origins],
    }
    async with database.transaction(ALL_WORKSPACES) as connection:
        rows = (await connection.execute(_KNOWN, columns)).all()
    known = {
        (place.topic, place.number, offset, moment): origin for (place, offset, moment), origin in places.items()
    }
    found = {
        (row.topic, row.partition, row.offset, row.published_at): Replay(row.state, row.replayed_at) for row in rows
    }
    return {origin: found[key] for key, origin in known.items() if key in found}


async def replay(database: Database, log: Log, letter: StoredLetter, *, now: datetime, again: bool = False) -> str:
    """Publish the original once more on the topic it came from, which is returned.

    Raises Refused: `already_replayed` unless `again`, `letter_cut_off`, or `origin_unknown`. Raises LogUnavailable
    when the log did not confirm; if the outcome is unknown, the letter counts as begun.
    """
    original, origin = letter.original(), letter.origin
    if origin is None:
        raise Refused("its headers do not say where it came from", code="origin_unknown")
    place = _row(origin)
    await _claim(database, place, now=now, again=again)
    try:
        await log.publish(origin.partition.topic, [original])
    except LeadflowError as error:
        if not again and not (isinstance(error, LogUnavailable) and error.outcome_unknown):
            await _execute(database, _RELEASE, place)
        raise
    await _execute(database, _DONE, place)
    return origin.partition.topic


async def _claim(database: Database, place: Mapping[str, object], *, now: datetime, again: bool) -> None:
    if not await _execute(database, _CLAIM, {**place, "now": now}):
        if not again:
            raise Refused("it was sent back before", code="already_replayed")
        await _execute(database, _CLAIM_AGAIN, {**place, "now": now})


async def _execute(database: Database, statement: TextClause, parameters: Mapping[str, object]) -> int:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return (await connection.execute(statement, parameters)).rowcount


def _row(origin: Origin) -> dict[str, object]:
    return {
        "topic": origin.partition.topic,
        "partition": origin.partition.number,
        "offset": origin.offset,
        "published_at": origin.published_at,
    }
