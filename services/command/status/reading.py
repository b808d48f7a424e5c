"""What `leadflow status` shows, as numbers; each part is looked for on its own, and may be missing."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.command.letters import newest
from services.ingest import app as ingest
from services.ingest.parked.repository import ParkedRepository
from services.pipeline import app as pipeline
from services.pipeline.subscriptions import deliveries
from services.pipeline.subscriptions.repository import count_by_state
from services.scorer import app as scorer
from shared.clock import Clock
from shared.db.due import Overdue, overdue
from shared.db.engine import Database
from shared.db.outbox import Backlog, Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import LeadflowError
from shared.events.topics import DEAD_LETTER_TOPICS, ENGAGEMENT_EVENTS, LEAD_SCORES, PARKED_ELEMENTS, TopicSpec
from shared.log.protocol import Lag, Log

GROUPS: Mapping[str, TopicSpec] = {
    ingest.GROUP: PARKED_ELEMENTS,
    scorer.GROUP: ENGAGEMENT_EVENTS,
    pipeline.GROUP: LEAD_SCORES,
}
SCHEMAS_THAT_TELL = ("scorer", "pipeline")
LETTERS = 100
_SECONDS = 10.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Part(Generic[T_co]):
    """One thing that was looked at: `found`, or why it could not be."""

    found: T_co | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a group of consumers keeps up: over all partitions together, and the age of the oldest waiting record."""

    topic: str
    members: int
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Deliveries that wait or were given up, and receivers by state (enabled, paused, disabled)."""

    pending: int
    oldest_age_seconds: float
    given_up: int
    endpoints: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of a topic that the log still has, and how many of the newest LETTERS of them were sent back."""

    kept: int
    sent_back: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an installation stands at a moment."""

    at: datetime
    groups: Mapping[str, Part[Reading]]
    outboxes: Mapping[str, Part[Backlog]]
    due: Mapping[str, Part[Overdue]]
    webhooks: Part[Webhooks]
    parked: Part[int]
    dead_letters: Part[Mapping[str, Letters]]

    def parts(self) -> Sequence[Part[object]]:
        """All that was looked at."""
        return (
            *self.groups.values(),
            *self.outboxes.values(),
            *self.due.values(),
            self.webhooks,
            self.parked,
            self.dead_letters,
        )


async def read(database: Database, log: Log | LeadflowError, clock: Clock) -> Standing:
    """How things stand now; never longer than some seconds. `log` is the error if it could not be opened."""
    now = clock.now()
    return Standing(
        at=now,
        groups={name: await _part(_group(log, name, topic)) for name, topic in GROUPS.items()},
        outboxes={schema: await _part(_backlog(database, schema)) for schema in SCHEMAS_THAT_TELL},
        due={schema: await _part(_overdue(database, schema, now)) for schema in SCHEMAS_THAT_TELL},
        webhooks=await _part(_webhooks(database, now)),
        parked=await _part(ParkedRepository(database).waiting()),
        dead_letters=await _part(_letters(database, log)),
    )


async def _part(look: Awaitable[T]) -> Part[T]:
    try:
        async with asyncio.timeout(_SECONDS):
            return Part(await look)
    except TimeoutError:
        return Part(None, f"no answer within {_SECONDS:.0f} s")
    except LeadflowError as error:
        return Part(None, str(error))
    except SQLAlchemyError as error:
        return Part(None, f"{type(error).__name__}: is the database at the newest migration? `leadflow doctor` tells")


def _opened(log: Log | LeadflowError) -> Log:
    if isinstance(log, LeadflowError):
        raise log
    return log


async def _group(log: Log | LeadflowError, name: str, topic: TopicSpec) -> Reading:
    return await reading_of(_opened(log), name, topic)


async def reading_of(log: Log, name: str, topic: TopicSpec) -> Reading:
    """How the group `name` keeps up with `topic`."""
    state = await log.group(name, [topic.name])
    lags: Sequence[Lag] = list(state.lag.values())
    return Reading(
        topic.name,
        state.members,
        sum(lag.records for lag in lags),
        max((lag.seconds for lag in lags), default=0.0),
    )


async def _backlog(database: Database, schema: str) -> Backlog:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return await Outbox(schema).backlog(connection)


async def _overdue(database: Database, schema: str, now: datetime) -> Overdue:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return await overdue(connection, schema, now)


async def _webhooks(database: Database, now: datetime) -> Webhooks:
    async with database.transaction(ALL_WORKSPACES) as connection:
        waiting = await deliveries.waiting(connection, now)
        given_up = await deliveries.given_up(connection)
        states = await count_by_state(connection, now)
    return Webhooks(waiting.number, waiting.oldest_age.total_seconds(), given_up, states)


async def _letters(database: Database, log: Log | LeadflowError) -> dict[str, Letters]:
    opened = _opened(log)
    existing = await opened.topics()
    found: dict[str, Letters] = {}
    for topic in DEAD_LETTER_TOPICS:
        extents = (await opened.extent(topic.name)).values() if topic.name in existing else ()
        kept = sum(extent.end - extent.first for extent in extents)
        letters = (
            await newest(database, opened, [topic.name], reason=None, limit=LETTERS, before=None) if kept else ()
        )
        found[topic.name] = Letters(kept, sum(letter.replay is not None for letter in letters))
    return found
