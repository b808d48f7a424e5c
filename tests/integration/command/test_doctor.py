"""`leadflow doctor` and `leadflow status` on a given database, with things that are really wrong, on both engines."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import text

from services.pipeline import documents
from services.scorer import models
from shared.access.principal import Scope
from shared.access.repository import KeyRepository
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.protocol import Log, Record
from tests.integration.command.conftest import Invoke
from tests.support.leadflow_process import free_port
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
FAR = datetime(2026, 1, 1, tzinfo=UTC)


async def examined(invoke: Invoke) -> tuple[int, dict[str, Any]]:
    """The exit code, and the checks by name."""
    done = await invoke("doctor", "--json")
    return done.exit_code, {check["check"]: check for check in from_json(done.stdout)["checks"]}


def said(check: dict[str, Any]) -> str:
    return " ".join(f"{problem['what']} {problem['remedy']}" for problem in check["problems"])


def entries(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def equip(database: Database) -> None:
    """A key, a model and a pipeline: what somebody who has begun has."""
    clock = SystemClock()
    await KeyRepository(database).create("default", name="ours", scopes=[Scope.EVENTS_WRITE], now=clock.now())
    model, pipeline = (read_yaml((EXAMPLES / name).read_text()) for name in ("model.yaml", "pipeline.yaml"))
    await models.publish(database, clock, "default", model, by="us", reason="test")
    await documents.publish(database, clock, "default", pipeline, by="us", reason="test")


async def test_an_installation_with_everything_lacks_only_its_services(
    invoke: Invoke, log: Log, database: Database
) -> None:
    await equip(database)

    code, checks = await examined(invoke)

    troubled = {name for name, check in checks.items() if check["outcome"] != "ok"} - {"topics"}
    assert code == 0
    assert troubled == {"consumers"}
    assert "start `leadflow up`" in said(checks["consumers"])
    assert checks["topics"]["summary"] == "8 of 8 topics exist"


async def test_what_is_really_wrong_is_found_with_its_remedy(invoke: Invoke, database: Database) -> None:
    await equip(database)
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(text('UPDATE scorer.model SET document = \'{"model": "b"}\''))
        await connection.execute(
            text(
                "INSERT INTO ingest.source (id, workspace, kind, secrets, event_names, time_zone, created_at)"
                " VALUES ('fax', 'default', 'fax', '[]', '{}', 'UTC', now())"
            )
        )
        await connection.execute(
            text("INSERT INTO scorer.outbox (topic, key, value, created_at) VALUES ('lead-scores', 'k', 'v', :at)"),
            {"at": SystemClock().now() - timedelta(hours=1)},
        )

    code, checks = await examined(invoke)

    assert code == 1
    assert {name for name, check in checks.items() if check["outcome"] == "failed"} == {
        "models",
        "sources",
        "outboxes",
    }
    assert "leadflow models validate" in said(checks["models"])
    assert "kind fax" in said(checks["sources"])


async def test_a_database_that_was_not_migrated_is_told_and_left_as_it_is(
    invoke: Invoke, environment: pytest.MonkeyPatch, postgres_server: PostgresServer
) -> None:
    async with postgres_server.fresh_url(migrated=False) as url:
        environment.setenv("LEADFLOW_DATABASE_URL", url)
        code, checks = await examined(invoke)
        again = (await examined(invoke))[1]

    assert code == 1
    assert "leadflow migrate" in said(checks["migrations"])
    assert {checks[name]["outcome"] for name in ("log", "keys", "models", "outboxes")} == {"skipped"}
    assert again["migrations"] == checks["migrations"]


async def test_nothing_is_made_where_there_is_nothing(
    invoke: Invoke, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("LEADFLOW_DATABASE_URL")

    code, checks = await examined(invoke)
    status = await invoke("status")

    assert code == status.exit_code == 1
    assert "there is no database" in said(checks["database"])
    assert entries(tmp_path) == []


async def test_settings_that_are_wrong_are_all_named(invoke: Invoke, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEADFLOW_PORT", "eighty")
    environment.setenv("LEADFLOW_PIPELINE_FEED_STREAMS", "0")
    environment.setenv("LEADFLOW_DATABSE_URL", "x")

    code, checks = await examined(invoke)

    assert code == 1
    for name in ("LEADFLOW_PORT: ", "LEADFLOW_PIPELINE_FEED_STREAMS: ", "LEADFLOW_DATABASE_URL is meant"):
        assert name in said(checks["configuration"])


async def test_a_server_that_is_away_fails_its_own_check_only(
    invoke: Invoke, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LEADFLOW_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")

    code, checks = await examined(invoke)
    status = await invoke("status", "--json")

    shown = from_json(status.stdout)
    assert code == status.exit_code == 1
    assert {name for name, check in checks.items() if check["outcome"] == "failed"} == {"log"}
    assert "does not answer" in shown["groups"]["scorer"]["trouble"]
    assert shown["parked"] == {"found": 0, "trouble": None}


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
async def test_a_stamp_from_the_future_is_found(invoke: Invoke, log: Log, database: Database) -> None:
    await log.publish(ENGAGEMENT_EVENTS.name, [Record(b"k", b"1")])
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(text("UPDATE log.records SET published_at = published_at + interval '1 minute'"))

    _, checks = await examined(invoke)

    assert checks["clock"]["outcome"] == "ok"
    assert checks["stamps"]["outcome"] == "failed"


async def test_the_status_counts_what_waits(invoke: Invoke, log: Log, database: Database) -> None:
    await log.publish(ENGAGEMENT_EVENTS.name, [Record(b"k", b"1"), Record(b"k", b"2")])
    (place,) = [place for place, extent in (await log.extent(ENGAGEMENT_EVENTS.name)).items() if extent.end]
    (record, _) = await log.browse(place, offset=0, max_records=2)
    await publish_dead_letters(log, [DeadLetter(record, "not_json")], now=FAR)
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(
            text("INSERT INTO scorer.outbox (topic, key, value) VALUES ('lead-scores', 'k', 'v')")
        )
        for moment in (SystemClock().now() - timedelta(hours=1), SystemClock().now() + timedelta(hours=1)):
            await connection.execute(
                text("INSERT INTO pipeline.due VALUES ('default', gen_random_uuid(), :moment)"), {"moment": moment}
            )

    done = await invoke("status", "--json")
    table = (await invoke("status")).stdout

    shown = from_json(done.stdout)
    assert done.exit_code == 0
    assert shown["groups"]["scorer"]["found"] | {"seconds": None} == {
        "topic": ENGAGEMENT_EVENTS.name,
        "members": 0,
        "records": 2,
        "seconds": None,
    }
    assert shown["outboxes"]["scorer"]["found"]["messages"] == 1
    assert shown["due"]["pipeline"]["found"]["moments"] == 1
    assert shown["dead_letters"]["found"][f"{ENGAGEMENT_EVENTS.name}-dlq"] == {"kept": 1, "sent_back": 0}
    assert f"nobody reads {ENGAGEMENT_EVENTS.name}, 2 records behind" in table
