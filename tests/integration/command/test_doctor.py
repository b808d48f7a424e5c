"""`leadflow doctor` and `leadflow status` on a given database, with things that are really wrong, on both engines."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.engine import make_url

from services.pipeline.documents import versions as documents
from services.scorer.models import versions as models
from shared.access.principal import Scope
from shared.access.repository import KeyRepository
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.protocol import Log, Record
from shared.sealing.data_keys import Sealing
from tests.integration.command.conftest import Invoke
from tests.support.leadflow_process import free_port
from tests.support.postgres import PostgresServer, as_owner

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
    # The login of the tests is a superuser, who has no master key.
    assert troubled == {"consumers", "roles", "sealing"}
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


def a_master_key() -> str:
    return b64encode(token_bytes(32)).decode()


async def seal_something(url: str, master_key: str) -> None:
    """A data key under a master key, as a service makes it."""
    database = Database(url, sealing=Sealing(master_key))
    try:
        async with database.transaction(ALL_WORKSPACES) as connection:
            await database.sealing.make(connection, {uuid4(): "default"})
    finally:
        await database.close()


async def test_what_is_wrong_with_master_and_data_keys_is_told(
    invoke: Invoke, environment: pytest.MonkeyPatch, database: Database, database_url: str
) -> None:
    async def sealing() -> tuple[str, str]:
        check = (await examined(invoke))[1]["sealing"]
        return check["outcome"], said(check)

    first, second = a_master_key(), a_master_key()
    unset = await sealing()
    environment.setenv("LEADFLOW_SEALING_KEYS", first)
    fine = await sealing()
    await seal_something(database_url, first)
    environment.setenv("LEADFLOW_SEALING_KEYS", f"{second},{first}")
    rotating = await sealing()
    environment.setenv("LEADFLOW_SEALING_KEYS", second)
    gone = await sealing()
    environment.setenv("LEADFLOW_SEALING_KEYS", first)
    environment.setenv("LEADFLOW_SEALING", "false")
    off = await sealing()
    environment.delenv("LEADFLOW_SEALING")
    await seal_something(database_url, "")
    bare = await sealing()
    async with as_owner(database) as connection:
        await connection.execute(text("UPDATE sealing.data_key SET key = key || 'x' WHERE wrapped_by IS NOT NULL"))
    damaged = await sealing()

    assert (unset[0], "is not set" in unset[1]) == ("warning", True)
    assert fine == ("ok", "")
    assert (rotating[0], "not the first" in rotating[1]) == ("warning", True)
    assert (gone[0], "does not have" in gone[1]) == ("failed", True)
    assert (off[0], "LEADFLOW_SEALING is off" in off[1]) == ("warning", True)
    assert (bare[0], "leadflow leads seal" in bare[1]) == ("warning", True)
    assert (damaged[0], "1 of 2 data keys do not open" in damaged[1]) == ("failed", True)


async def test_a_master_key_that_is_none_is_a_wrong_setting(invoke: Invoke, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEADFLOW_SEALING_KEYS", "secret")

    code, checks = await examined(invoke)

    assert code == 1
    assert "openssl rand -base64 32" in said(checks["configuration"])
    assert "secret" not in said(checks["configuration"])


async def test_a_table_without_row_security_is_told(invoke: Invoke, database: Database) -> None:
    async with as_owner(database) as connection:
        await connection.execute(text("ALTER TABLE pipeline.lead NO FORCE ROW LEVEL SECURITY"))

    _, checks = await examined(invoke)

    assert checks["roles"]["outcome"] == "failed"
    assert "pipeline.lead" in said(checks["roles"])


async def test_an_owner_for_migrations_who_is_none_is_told(
    invoke: Invoke,
    environment: pytest.MonkeyPatch,
    database: Database,
    database_url: str,
    postgres_server: PostgresServer,
) -> None:
    login = f"nobody_{uuid4().hex[:12]}"
    async with as_owner(database) as connection:
        await connection.execute(text(f"CREATE ROLE {login} LOGIN PASSWORD 'x'"))
    try:
        url = make_url(database_url).set(username=login, password="x")
        environment.setenv("LEADFLOW_MIGRATION_DATABASE_URL", url.render_as_string(hide_password=False))
        not_owner = (await examined(invoke))[1]["roles"]
        environment.setenv("LEADFLOW_MIGRATION_DATABASE_URL", postgres_server.url_of(postgres_server.template))
        elsewhere = (await examined(invoke))[1]["roles"]
        environment.setenv("LEADFLOW_MIGRATION_DATABASE_URL", database_url)
        owner = (await examined(invoke))[1]["roles"]
    finally:
        async with as_owner(database) as connection:
            await connection.execute(text(f"DROP ROLE {login}"))

    assert (not_owner["outcome"], "does not own" in said(not_owner)) == ("failed", True)
    assert (elsewhere["outcome"], "is another database" in said(elsewhere)) == ("failed", True)
    assert "MIGRATION" not in said(owner)


async def test_a_login_that_may_not_take_the_roles_is_told(
    invoke: Invoke, environment: pytest.MonkeyPatch, database: Database, database_url: str
) -> None:
    login = f"nobody_{uuid4().hex[:12]}"
    async with as_owner(database) as connection:
        await connection.execute(text(f"CREATE ROLE {login} LOGIN PASSWORD 'x'"))
    try:
        url = make_url(database_url).set(username=login, password="x")
        environment.setenv("LEADFLOW_DATABASE_URL", url.render_as_string(hide_password=False))
        code, checks = await examined(invoke)
    finally:
        async with as_owner(database) as connection:
            await connection.execute(text(f"DROP ROLE {login}"))

    assert (code, checks["roles"]["outcome"]) == (1, "failed")
    assert f"GRANT leadflow_app TO {login}" in said(checks["roles"])
    assert "GRANT leadflow_app, leadflow_worker" in said(checks["sealing"])


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
