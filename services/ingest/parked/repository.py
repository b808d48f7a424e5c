"""Elements that became no event, as PostgreSQL holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Literal
from uuid import UUID, uuid5

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ingest.domain.outcome import Reason
from services.ingest.domain.parking import Form, Origin
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from shared.events.parked import ElementParked
from shared.observability import tracing
from shared.observability.tracing import TraceContext
from shared.sealing.data_keys import Item, delete_keys, sealing_of

_SEALED_AS = b"parked"
_REASON = b"parked because"
_ORIGIN = b"parked from"
_KEYS = UUID("3b6d3f5e-7d3c-5a7e-8f4b-53a2c7f0d9b6")

State = Literal["parked", "replayed", "resolved", "discarded"]

_COLUMNS = (
    "id, workspace, source, kind, form, disposition, code, field, message, element_id, body, size_bytes, headers,"
    " received_at, state, attempts, changed_at, event_ids, traceparent, tracestate, sealed,"
    " sealed_reason, sealed_origin"
)
_INSERT = text(
    "INSERT INTO ingest.parked (id, workspace, source, kind, form, disposition, code, field, message, element_id,"
    " body, size_bytes, headers, received_at, traceparent, tracestate, sealed, sealed_reason,"
    " sealed_origin)"
    " VALUES (:id, :workspace, :source, :kind, :form, :disposition, :code, :field, :message, :element_id,"
    " :body, :size_bytes, CAST(:headers AS jsonb), :received_at, :traceparent, :tracestate, :sealed,"
    " :sealed_reason, :sealed_origin)"
    " ON CONFLICT (id) DO NOTHING"
)
_PAGE = text(
    f"SELECT {_COLUMNS} FROM ingest.parked WHERE workspace = :workspace"  # noqa: S608 - a constant
    " AND (CAST(:source AS text) IS NULL OR source = :source)"
    " AND (CAST(:code AS text) IS NULL OR code = :code)"
    " AND (CAST(:state AS text) IS NULL OR state = :state)"
    " AND (CAST(:before_at AS timestamptz) IS NULL OR (received_at, id) < (:before_at, :before_id))"
    " ORDER BY received_at DESC, id DESC LIMIT :limit"
)
_BY_IDS = text(
    f"SELECT {_COLUMNS} FROM ingest.parked WHERE workspace = :workspace AND id = ANY(:ids)"  # noqa: S608
    " ORDER BY received_at DESC, id DESC"
)
# One that somebody else replayed meanwhile stays as that left it.
_TRIED = text(
    "UPDATE ingest.parked SET state = :state, code = :code, field = :field, message = :message,"
    " sealed_reason = :sealed_reason, event_ids = :event_ids, attempts = attempts + 1, changed_at = :now"
    " WHERE id = :id AND workspace = :workspace AND state = 'parked'"
)
_SETTLED = text(
    "UPDATE ingest.parked SET state = :state, changed_at = :now"
    " WHERE id = ANY(:ids) AND workspace = :workspace AND state = 'parked' RETURNING id"
)
_WAITING = text("SELECT count(*) FROM ingest.parked WHERE state = 'parked'")
_ERASED = text("DELETE FROM ingest.parked WHERE id = ANY(:ids) AND workspace = :workspace")
_FORGOTTEN = text(
    "DELETE FROM ingest.parked WHERE id IN ("
    "SELECT id FROM ingest.parked WHERE received_at < :before ORDER BY received_at LIMIT :limit)"
    " RETURNING id, workspace"
)


@dataclass(frozen=True, slots=True)
class ParkedElement:
    """An element that was kept aside, and what became of it since. `body` has its first bytes if not all.

    `trace` is that of the request which brought it first.
    """

    id: str
    origin: Origin
    disposition: str
    reason: Reason
    element_id: str | None
    body: bytes
    size_bytes: int
    state: State
    attempts: int
    changed_at: datetime | None
    event_ids: tuple[str, ...]
    trace: TraceContext | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all its bytes were kept."""
        return len(self.body) == self.size_bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended; the newest come first."""

    received_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which elements to list: all that is given must hold."""

    source: str | None = None
    code: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of trying an element again: the events it became, or the reason why it still is none."""

    id: str
    event_ids: tuple[str, ...] = ()
    reason: Reason | None = None


class ParkedRepository:
    """Stores, lists and changes them. Everything raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, messages: Sequence[ElementParked], traces: Sequence[TraceContext | None] = ()) -> None:
        """Store what the log brought, and the trace of each; what is there already stays as it is."""
        rows = [_row(message, trace) for message, trace in zip_longest(messages, traces)]
        items = [Item(_key_of(message.id), message.workspace, message.data.body) for message in messages]
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            sealing = sealing_of(connection)
            bodies = await sealing.seal(connection, items, _SEALED_AS)
            for row, body in zip(rows, bodies, strict=True):
                row |= {"body": body, "sealed": sealing.on}
            if sealing.on:
                await _seal_about(connection, rows)
            await connection.execute(_INSERT, rows)

    async def page(
        self, workspace: str, which: ParkedFilter, *, before: Place | None = None, limit: int
    ) -> list[ParkedElement]:
        """The newest first, from `before` on."""
        values = {
            "workspace": workspace,
            "source": which.source,
            "code": which.code,
            "state": which.state,
            "before_at": before.received_at if before else None,
            "before_id": before.id if before else None,
            "limit": limit,
        }
        async with self._database.transaction(workspace) as connection:
            return await _elements(connection, (await connection.execute(_PAGE, values)).all())

    async def by_ids(self, workspace: str, ids: Sequence[str]) -> list[ParkedElement]:
        """Those of `ids` that the workspace has."""
        async with self._database.transaction(workspace) as connection:
            return await _elements(connection, (await connection.execute(_BY_IDS, _of(workspace, ids))).all())

    async def find(self, workspace: str, element_id: str) -> ParkedElement:
        """One of them. Raises InvalidInput(not_found)."""
        found = await self.by_ids(workspace, [element_id])
        if not found:
            raise InvalidInput("no such element in this workspace", code="not_found", field="id")
        return found[0]

    async def note(self, workspace: str, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Remember what came of trying elements again."""
        rows = [_attempt_row(workspace, attempt, now) for attempt in attempts]
        if not rows:
            return
        async with self._database.transaction(workspace) as connection:
            if sealing_of(connection).on:
                for row in rows:
                    await _seal_reason(connection, row)
            await connection.execute(_TRIED, rows)

    async def settle(self, workspace: str, ids: Sequence[str], state: State, *, now: datetime) -> list[str]:
        """Let elements that wait end as `state`; the ids of those that did."""
        async with self._database.transaction(workspace) as connection:
            rows = await connection.execute(_SETTLED, {**_of(workspace, ids), "state": state, "now": now})
            return sorted(row.id for row in rows)

    async def waiting(self) -> int:
        """How many elements of all workspaces are parked and nobody has dealt with."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            return int(await connection.scalar(_WAITING) or 0)

    async def erase(self, workspace: str, ids: Sequence[str]) -> None:
        """Delete these elements, and what they were sealed with."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(_ERASED, _of(workspace, ids))
            await delete_keys(connection, workspace, [_key_of(id_) for id_ in ids])

    async def forget(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` elements that came before then, the oldest first; returns how many."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            gone = (await connection.execute(_FORGOTTEN, {"before": before, "limit": limit})).all()
            for workspace in {row.workspace for row in gone}:
                await delete_keys(
                    connection, workspace, [_key_of(row.id) for row in gone if row.workspace == workspace]
                )
            return len(gone)


def _key_of(element_id: str) -> UUID:
    """The data key of an element."""
    return uuid5(_KEYS, element_id)


def _of(workspace: str, ids: Sequence[str]) -> dict[str, object]:
    return {"workspace": workspace, "ids": list(ids)}


def _row(message: ElementParked, trace: TraceContext | None) -> dict[str, object]:
    data = message.data
    return {
        "id": message.id,
        "workspace": message.workspace,
        **data.model_dump(),
        "headers": to_json(data.headers).decode(),
        "body": data.body,
        "traceparent": str(trace) if trace else None,
        "tracestate": trace.state or None if trace else None,
        "sealed_reason": None,
        "sealed_origin": None,
    }


async def _seal_about(connection: AsyncConnection, rows: Sequence[dict[str, object]]) -> None:
    """What stands beside the bodies of these rows, and may name somebody as well."""
    sealing = sealing_of(connection)
    owners = [(_key_of(str(row["id"])), str(row["workspace"])) for row in rows]
    reasons = [Item(*owner, _reason(row)) for owner, row in zip(owners, rows, strict=True)]
    origins = [
        Item(*owner, to_json([row["headers"], row["element_id"]])) for owner, row in zip(owners, rows, strict=True)
    ]
    sealed_reasons = await sealing.seal(connection, reasons, _REASON)
    sealed_origins = await sealing.seal(connection, origins, _ORIGIN)
    for row, reason, origin in zip(rows, sealed_reasons, sealed_origins, strict=True):
        row |= {"message": "", "field": None, "sealed_reason": reason}
        row |= {"headers": "{}", "element_id": None, "sealed_origin": origin}


async def _seal_reason(connection: AsyncConnection, row: dict[str, object]) -> None:
    """Why an element is still parked; as it is where the element has no key, having come before there were any."""
    sealed = await sealing_of(connection).seal_by(connection, _key_of(str(row["id"])), _reason(row), _REASON)
    if sealed is not None:
        row |= {"message": "", "field": None, "sealed_reason": sealed}


def _reason(row: Mapping[str, object]) -> bytes:
    return to_json([row["message"], row["field"]])


def _attempt_row(workspace: str, attempt: Attempt, now: datetime) -> dict[str, object]:
    done = Reason("replayed", "it is an event now") if attempt.event_ids else Reason("resolved", "it is understood")
    reason = attempt.reason or done
    return {
        "id": attempt.id,
        "workspace": workspace,
        "state": done.code if attempt.reason is None else "parked",
        "code": reason.code,
        "field": reason.field,
        "message": reason.message,
        "sealed_reason": None,
        "event_ids": list(attempt.event_ids),
        "now": now,
    }


async def _elements(connection: AsyncConnection, rows: Sequence[Row[tuple[object, ...]]]) -> list[ParkedElement]:
    """The elements; those that nobody has the key of any more are erased, and not there."""
    sealing = sealing_of(connection)
    bodies = iter(await sealing.open(connection, [bytes(row.body) for row in rows if row.sealed], _SEALED_AS))
    reasons = iter(await sealing.open(connection, [row.sealed_reason for row in rows if row.sealed_reason], _REASON))
    origins = iter(await sealing.open(connection, [row.sealed_origin for row in rows if row.sealed_origin], _ORIGIN))
    found: list[ParkedElement] = []
    for row in rows:
        body = next(bodies) if row.sealed else bytes(row.body)
        reason = next(reasons) if row.sealed_reason else to_json([row.message, row.field])
        origin = next(origins) if row.sealed_origin else to_json([to_json(row.headers).decode(), row.element_id])
        if body is not None and reason is not None and origin is not None:
            found.append(_element(row, body, reason=reason, origin=origin))
    return found


def _element(row: Row[tuple[object, ...]], body: bytes, *, reason: bytes, origin: bytes) -> ParkedElement:
    form: Form = row.form
    message, field = from_json(reason)
    headers, element_id = from_json(origin)
    return ParkedElement(
        id=row.id,
        origin=Origin(row.workspace, row.source, row.kind, form, row.received_at, from_json(headers)),
        disposition=row.disposition,
        reason=Reason(row.code, message, field),
        element_id=element_id,
        body=body,
        size_bytes=row.size_bytes,
        state=row.state,
        attempts=row.attempts,
        changed_at=row.changed_at,
        event_ids=tuple(row.event_ids),
        trace=tracing.read(row.traceparent, row.tracestate),
    )
