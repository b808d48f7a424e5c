"""What an engine left behind, read from where it keeps it: changelog topics, PostgreSQL, leadflow's messages."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from msgspec.json import decode

from benchmarks.peers.arena import read_all
from benchmarks.peers.gate import Found, Left
from shared.events.engagement import Identities, identity_digest
from shared.events.topics import ENGAGEMENT_EVENTS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REACHED = "reached"

Lead = tuple[float, int, int]
Message = tuple[bytes, bytes | None]


def key_of_lead(lead: int) -> str:
    """The key that a lead's records have."""
    return _key_of(f"lead.{lead}@example.com")


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


async def table(url: str) -> dict[str, Lead]:
    """The answer of class B."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT key, score, events, last_us FROM peers.lead")
    finally:
        await connection.close()
    return {row["key"]: (row["score"], row["events"], row["last_us"]) for row in rows}


async def changelog(bootstrap: str, module: str, prefix: str) -> dict[str, Lead]:
    """The state of class A as its engine has made it durable: the last value of each key of its changelog topic."""
    reads = {
        "quix": (f"changelog__{prefix}group--{prefix}{ENGAGEMENT_EVENTS.name}--default", _quix),
        "faust_app": (f"{prefix}group-state-changelog", _faust),
        "streams": (f"{prefix}group-leads-changelog", _streams),
    }
    topic, decoded = reads[module]
    found = await read_all(bootstrap, topic)
    return dict(lead for key, value in found if value is not None and (lead := decoded(key, value)) is not None)


def _quix(key: bytes, value: bytes) -> tuple[str, Lead] | None:
    lead, _, entry = key.partition(b"|")
    return (decode(lead), tuple(decode(value))) if entry == b'"lead"' else None


def _faust(key: bytes, value: bytes) -> tuple[str, Lead] | None:
    return (decode(key), tuple(decode(value))) if value.startswith(b"[") else None


def _streams(key: bytes, value: bytes) -> tuple[str, Lead]:
    return key.decode(), struct.unpack(">dqq", value)


def published_by_leadflow(published: Sequence[Message], numbers: Mapping[str, int], as_of_us: int) -> Found:
    """What its messages say: the events that count, the score when it was last told, and who reached the threshold.

    A message that came again under its id is read once, as its readers do. Raises ValueError if it came with
    other contents.
    """
    messages = once_each(published)
    who = _names(messages, numbers)
    events: dict[str, list[int]] = {}
    changes: dict[str, list[Mapping[str, Any]]] = {}
    for message in messages:
        data, lead = message["data"], message["data"]["lead"]["id"]
        if message["type"] == "lead.events_recorded":
            events.setdefault(lead, []).extend(_told_us(event["occurred_at"]) for event in data["events"])
        elif message["type"] == "lead.score_changed":
            changes.setdefault(lead, []).append(data)
    leads = {
        who[lead]: Left(score, len(times), max(times), after_us=after_us, rounded=True)
        for lead, times in events.items()
        for score, after_us in [_last_told(changes.get(lead, ()), as_of_us)]
    }
    crossings = [who[lead] for lead, told in changes.items() for _ in range(_times_reached(told))]
    return Found(leads, crossings, repeated=len(published) - len(messages))


def once_each(published: Iterable[Message]) -> list[Mapping[str, Any]]:
    """Messages by their ids. Raises ValueError if one id stands for two contents."""
    bodies: dict[str, bytes] = {}
    messages: dict[str, Mapping[str, Any]] = {}
    for _, body in published:
        message = decode(body or b"{}")
        if bodies.setdefault(message["id"], body or b"") != body:
            raise ValueError("two messages have one id")
        messages[message["id"]] = message
    return list(messages.values())


async def stored_by_leadflow(url: str, published: Sequence[Message], numbers: Mapping[str, int]) -> dict[int, int]:
    """How many events PostgreSQL has stored for each lead."""
    who = _names(once_each(published), numbers)
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT lead_id, count(*) AS events FROM scorer.event GROUP BY lead_id")
    finally:
        await connection.close()
    return {who[str(row["lead_id"])]: row["events"] for row in rows}


def _names(messages: Iterable[Mapping[str, Any]], numbers: Mapping[str, int]) -> dict[str, int]:
    leads = (message["data"]["lead"] for message in messages)
    return {lead["id"]: numbers[_key_of(lead["emails"][0])] for lead in leads if lead["emails"]}


def _last_told(changes: Sequence[Mapping[str, Any]], as_of_us: int) -> tuple[float, float]:
    if not changes:
        return 0.0, 0.0
    last = max(changes, key=lambda change: change["sequence"])
    return last["current"]["scores"]["engagement"], _told_us(last["at"]) - as_of_us


def _times_reached(changes: Sequence[Mapping[str, Any]]) -> int:
    """How often the threshold was reached that had not been so in the message before."""
    ordered = sorted(changes, key=lambda change: change["sequence"])
    positions = [change["thresholds"]["crossed"]["position"] == _REACHED for change in ordered]
    return sum(now and not before for before, now in zip([False, *positions], positions, strict=False))


def _key_of(email: str) -> str:
    return identity_digest("default", Identities(email=email, external_ids={}, anonymous_id=None))


def _told_us(moment: str) -> int:
    return microseconds(datetime.fromisoformat(moment))
