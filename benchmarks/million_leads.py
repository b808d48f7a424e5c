"""How long people wait for the hot list, for one lead and for each report when there are a million leads.

    python benchmarks/million_leads.py [--leads 1000000] [--rounds 5] [--keep DIRECTORY]

Some thousand leads go through the pipeline itself; the others are their copies, made by PostgreSQL, with ids,
owners and amounts of their own. Then each question is asked in turn, in interleaved rounds, through the API. Ends
with status 1 when the median of one is above a second. With --keep the data stay, and the next run finds them.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import httpx
from sqlalchemy import text

from services.pipeline.app import build
from services.pipeline.documents import versions
from services.pipeline.service import PipelineService, Received
from services.pipeline.settings import PipelineSettings
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from shared.events.codec import encode
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, clamp, microseconds, published, scores_at
from shared.events.envelope import LeadReference, message_id
from shared.events.json import Json
from shared.events.scores import (
    EventsRecorded,
    Forecast,
    LeadEventsRecorded,
    LeadScoreChanged,
    LedgerEntry,
    RecordedEvent,
    ScoreChange,
    Standing,
    ThresholdPosition,
)
from shared.events.topics import LEAD_SCORES
from shared.log.embedded import EmbeddedLog
from shared.process import create_app
from shared.service import Context
from shared.settings import Settings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PATTERNS = 5_000
BATCH = 500
LONGEST_SECONDS = 1.0
SOURCES = ("website", "hubspot", "linkedin", "webinar", "partner")
CAMPAIGNS = ("spring", "summer", "autumn", "always-on")
COUNTRIES = ("SE", "NO", "DK", "DE", "FR", "US")
RULES = ("pricing page", "demo requested", "webinar attended", "e-mail clicked", "form submitted")
EXAMPLE = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "pipeline.yaml"

QUESTIONS: Mapping[str, str] = {
    "hot list": "/v1/leads",
    "hot list, 100 per page": "/v1/leads?limit=100",
    "hot list of a stage": "/v1/leads?stage=mql",
    "hot list of an owner": "/v1/leads?owner=owner-7",
    "hot list of a grade": "/v1/leads?grade=A1",
    "hot list by attribute": "/v1/leads?attribute=country%3DSE",
    "hot list by rare value": "/v1/leads?attribute=employees%3D4999",
    "hot list by address": "/v1/leads?email=lead-17@example.com",
    "one lead": "/v1/leads/{lead}",
    "its timeline": "/v1/leads/{lead}/timeline",
    "its stages": "/v1/leads/{lead}/stages",
    "report funnel": "/v1/reports/funnel",
    "report velocity": "/v1/reports/velocity",
    "report sources": "/v1/reports/sources",
    "report stalled": "/v1/reports/stalled",
    "report forecast": "/v1/reports/forecast",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=1_000_000, help="leads in the workspace")
    parser.add_argument("--rounds", type=int, default=5, help="how often each question is asked")
    parser.add_argument("--keep", type=Path, help="keep the data here, and take them from here")
    options = parser.parse_args()
    return asyncio.run(measure(options.leads, options.rounds, options.keep))


async def measure(leads: int, rounds: int, keep: Path | None) -> int:
    """Print each question's median; 1 when one took too long."""
    async with opened(keep) as (database, client):
        if await count(database) < leads:
            await fill(database, leads)
        lead = await some_lead(database)
        say("leads", f"{await count(database):,}")
        taken: dict[str, list[float]] = {name: [] for name in QUESTIONS}
        for _ in range(rounds + 1):
            for name, path in QUESTIONS.items():
                taken[name].append(await ask(client, path.format(lead=lead)))
    slow = False
    for name, (_, *seconds) in taken.items():
        median = statistics.median(seconds)
        slow |= median > LONGEST_SECONDS
        say(name, f"{1000 * median:7,.0f} ms [{1000 * min(seconds):,.0f}..{1000 * max(seconds):,.0f}]")
    return int(slow)


@asynccontextmanager
async def opened(keep: Path | None) -> AsyncIterator[tuple[Database, httpx.AsyncClient]]:
    """PostgreSQL with the tables, and a caller of the pipeline's API."""
    with tempfile.TemporaryDirectory() as directory:
        async with EmbeddedPostgres(keep or Path(directory)).running() as url:
            database, clock = Database(url, timeout_seconds=600), ManualClock(NOW)
            await migrate(database)
            keys = KeyRing(database, clock)
            key = await KeyRepository(database).create("default", name="benchmark", scopes=[Scope.ADMIN], now=NOW)
            await keys.snapshot.refresh()
            context = Context(Settings(), database, EmbeddedLog(database), clock)
            app = create_app([build(context, PipelineSettings(), keys)])
            headers = {"authorization": f"Bearer {key.text}"}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://leadflow", headers=headers) as client:
                yield database, client
            await database.close()


async def ask(client: httpx.AsyncClient, path: str) -> float:
    """Seconds until the answer. Raises HTTPStatusError when it is none."""
    started = time.perf_counter()
    (await client.get(path)).raise_for_status()
    return time.perf_counter() - started


async def fill(database: Database, leads: int) -> None:
    """The patterns by the pipeline itself, then copies of them."""
    started = time.perf_counter()
    clock = ManualClock(NOW)
    patterns = min(PATTERNS, leads)
    document = read_yaml(EXAMPLE.read_text(encoding="utf-8"))
    await versions.publish(database, clock, "default", document, by="benchmark", reason="benchmark")
    service = PipelineService(database, clock, Outbox("pipeline"), on_told=lambda: None)
    dice = random.Random(20261101)  # noqa: S311 the same data in every run
    messages = [message for number in range(patterns) for message in a_life(number, dice)]
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        await service.take_in([Received(message, encode(message)) for message in batch])
    say("patterns", f"{patterns:,} leads in {time.perf_counter() - started:.0f} s")
    await copy(database, -(-leads // patterns))
    say("filled", f"in {time.perf_counter() - started:.0f} s")


async def copy(database: Database, times: int) -> None:
    """Every lead `times` - 1 times more, under ids derived from its own."""
    async with database.engine.begin() as connection:
        for table in ("outbox", "feed", "webhook_message"):
            await connection.execute(text(f"TRUNCATE pipeline.{table} CASCADE"))
        for table, id_column, columns in await copied_tables(connection):
            names = ", ".join(columns)
            values = ", ".join(OF_ITS_OWN.get((table, name), f"pattern.{name}") for name in columns)
            await connection.execute(
                text(f"""
                    INSERT INTO pipeline.{table} ({id_column}, {names})
                    SELECT CAST(md5(CAST(pattern.{id_column} AS text) || number) AS uuid), {values}
                    FROM pipeline.{table} AS pattern, generate_series(2, :times) AS number
                """),  # noqa: S608 names of ours
                {"times": times},
            )
    async with database.engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE"))


# What would be the same in every copy otherwise, and is not in life.
OF_ITS_OWN = {
    ("hot_row", "owner"): "CASE WHEN pattern.owner IS NULL THEN NULL ELSE 'owner-' || number % 40 END",
    ("lead", "emails"): "ARRAY[number || pattern.emails[1]]",
    ("lead_report", "owner"): "CASE WHEN pattern.owner IS NULL THEN NULL ELSE 'owner-' || number % 40 END",
    ("lead_report", "amount"): "pattern.amount * (0.5 + random())",
}


async def copied_tables(connection: Any) -> Sequence[tuple[str, str, Sequence[str]]]:
    """Every table with a row per lead: its name, its column of lead ids, the other columns."""
    rows = await connection.execute(
        text("""
            SELECT table_name, array_agg(column_name ORDER BY ordinal_position) AS columns
            FROM information_schema.columns
            WHERE table_schema = 'pipeline' AND is_identity = 'NO'
                AND table_name IN ('lead', 'lead_report', 'standing', 'hot_row', 'stay', 'timeline', 'due')
            GROUP BY table_name ORDER BY table_name
        """)
    )
    found = []
    for row in rows:
        id_column = "id" if row.table_name == "lead" else "lead_id"
        found.append((row.table_name, id_column, [name for name in row.columns if name != id_column]))
    return found


def a_life(number: int, dice: random.Random) -> list[LeadEventsRecorded | LeadScoreChanged]:
    """What the scorer says of a lead: some months of events, a deal for some, and its scores now."""
    lead = LeadReference(
        id=str(UUID(int=dice.getrandbits(128), version=4)), emails=(f"lead-{number}@example.com",), external_ids={}
    )
    at = NOW - dice.uniform(1, 360) * DAY
    source, campaign = dice.choice(SOURCES), dice.choice(CAMPAIGNS)
    facts: dict[str, Json] = {
        "country": dice.choice(COUNTRIES),
        "employees": dice.randint(1, 5_000),
        "budget": dice.randint(0, 50_000),
    }
    events = [an_event(number, "page_viewed", at, source, utm_source=source, utm_campaign=campaign)]
    if dice.random() < 0.4:
        events.append(an_event(number, "demo_requested", at + DAY, source))
    if dice.random() < 0.3:
        amount = dice.randint(1_000, 90_000)
        events.append(
            an_event(
                number, "deal_updated", at + 3 * DAY, "crm", amount=amount, close_date="2026-12-15", owner="owner"
            )
        )
        ending = dice.choice(["deal_won", "deal_lost", None, None])
        if ending:
            events.append(an_event(number, ending, at + dice.uniform(5, 60) * DAY, "crm", reason="price"))
    events = [event for event in events if event.occurred_at <= NOW]
    recorded = EventsRecorded(lead=lead, sequence=1, events=tuple(events), attributes=facts)
    return [
        LeadEventsRecorded.model_validate(an_envelope(lead, 1, events[-1].occurred_at) | {"data": recorded}),
        LeadScoreChanged.model_validate(an_envelope(lead, 2, NOW) | {"data": a_change(lead, facts, dice)}),
    ]


def a_change(lead: LeadReference, facts: dict[str, Json], dice: random.Random) -> ScoreChange:
    from_us = microseconds(NOW - dice.uniform(0, 30) * DAY)
    engagement = ScoreCurve(0.0, 100.0, (GroupCurve(None, 50.0, some_terms(dice, from_us)),), {})
    fit = ScoreCurve(0.0, 100.0, (GroupCurve(None, None, (Term(dice.randint(0, 100), from_us, None, None),)),), {})
    total = ScoreCurve(0.0, 100.0, (), {"engagement": 0.6, "fit": 0.4})
    curve = Curve(from_us, {"engagement": engagement, "fit": fit, "total": total})
    values = {name: published(value) for name, value in scores_at(curve, NOW).items()}
    return ScoreChange(
        lead=lead,
        sequence=2,
        model="b2b-default",
        model_version=1,
        at=NOW,
        current=Standing(
            scores=values,
            bands={
                name: "hot" if value >= 70 else "warm" if value >= 40 else "cold" for name, value in values.items()
            },
            grade=dice.choice("ABC") + dice.choice("123"),
        ),
        previous=None,
        cause="events",
        events=(),
        ledger={"engagement": tuple(an_entry(rule, dice) for rule in RULES)},
        thresholds={"mql": a_position(values["total"]), "warm": a_position(values["total"])},
        forecast=Forecast(curve=curve, changes_at=None, becomes=None),
        attributes=facts,
    )


def some_terms(dice: random.Random, from_us: int) -> tuple[Term, ...]:
    half_lives = (7 * DAY, 14 * DAY, 30 * DAY)
    return tuple(
        Term(dice.uniform(0, 40), from_us, half_life // timedelta(microseconds=1), None)
        for half_life in dice.sample(half_lives, dice.randint(1, 3))
    )


def a_position(score: float) -> ThresholdPosition:
    position: Literal["reached", "between", "below"] = (
        "reached" if score >= 60 else "between" if score >= 45 else "below"
    )
    return ThresholdPosition(
        position=position, score=clamp(score, 0.0, 100.0), enter=60.0, exit=45.0, cooldown_seconds=None
    )


def an_entry(rule: str, dice: random.Random) -> LedgerEntry:
    worth = round(dice.uniform(1, 20), 2)
    return LedgerEntry(
        kind="rule",
        name=rule,
        worth=worth,
        points=10.0,
        counted=2,
        undecayed=20.0,
        half_life_seconds=7 * 86_400.0,
        expires_at=None,
        latest=None,
        reason=f"{rule} twice: {worth:g} points, halves every 7 days",
    )


def an_event(number: int, kind: str, at: datetime, source: str, **properties: Any) -> RecordedEvent:
    return RecordedEvent(
        source=source, id=f"{kind}-{number}", type=kind, occurred_at=at, received_at=at, properties=properties
    )


def an_envelope(lead: LeadReference, sequence: int, at: datetime) -> dict[str, Any]:
    return {
        "id": message_id(LEAD_SCORES, lead.id, sequence),
        "source": "/leadflow/scorer",
        "subject": lead.id,
        "time": at,
        "workspace": "default",
    }


async def count(database: Database) -> int:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM pipeline.lead")) or 0)


async def some_lead(database: Database) -> str:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return str(await connection.scalar(text("SELECT id FROM pipeline.lead LIMIT 1")))


def say(name: str, words: str) -> None:
    sys.stdout.write(f"{name:24s}{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
