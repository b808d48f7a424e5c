"""Workspaces are kept apart by PostgreSQL itself, whatever a query forgets; and each proof fails where it must."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.embedded_postgres import service_url
from shared.db.engine import Database
from shared.db.migrations import check_migrated, migrate
from shared.db.reach import ALL_WORKSPACES, APP_ROLE, WORKER_ROLE
from shared.errors import Misconfigured
from tests.support.postgres import PostgresServer, as_owner

pytestmark = pytest.mark.postgres

ROLES = (APP_ROLE, WORKER_ROLE)
# Tables of services that have no workspace, and why requests cannot see another's rows in them all the same.
WITHOUT_WORKSPACE = {
    "access.workspace": "is the workspace: apart by its id",
    "scorer.due": "apart as its lead is",
    "scorer.shadow_lead": "apart as its shadow is",
    "scorer.rebuild_part": "apart as its rebuild is",
    "pipeline.delivery": "apart as its subscription is",
    "pipeline.delivery_attempt": "apart as its delivery is",
    "pipeline.webhook_message": "apart as the feed and the deliveries are that name it",
    "pipeline.undelivered": "apart as the deliveries are that name its message",
    "scorer.outbox": "for workers; requests may only add",
    "pipeline.outbox": "for workers; requests may only add",
    "log.topics": "for workers",
    "log.partitions": "for workers",
    "log.records": "for workers",
    "log.groups": "for workers",
    "log.members": "for workers",
    "log.subscriptions": "for workers",
    "log.offsets": "for workers",
    "log.replayed_letter": "for workers",
    "log.handled": "for workers",
    "public.alembic_version": "says which migration was the last one",
}
FOR_WORKERS = {table for table, reason in WITHOUT_WORKSPACE.items() if reason.startswith("for workers")}


async def rows(connection: AsyncConnection) -> list[str]:
    """What a query sees that forgets its filter."""
    return sorted(await connection.scalars(text("SELECT workspace FROM pipeline.scored_model")))


async def put(connection: AsyncConnection, workspace: str) -> None:
    await connection.execute(
        text("INSERT INTO pipeline.scored_model VALUES (:workspace, 'model', 1, '{}', 'total')"),
        {"workspace": workspace},
    )


FORBIDDEN = (
    "ALTER TABLE pipeline.scored_model DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE pipeline.scored_model NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY own_workspace ON pipeline.scored_model",
    "CREATE POLICY wide ON pipeline.scored_model USING (true)",
    "ALTER ROLE leadflow_app BYPASSRLS",
    "DROP TABLE pipeline.scored_model",
    "TRUNCATE pipeline.scored_model",
    "CREATE TABLE pipeline.mine (id int)",
    "SELECT * FROM pipeline.outbox",
    "SELECT * FROM log.records",
)
DAMAGES = (
    ("CREATE TABLE pipeline.note (workspace text NOT NULL)", "pipeline.note"),
    ("CREATE TABLE pipeline.note (id int)", "pipeline.note"),
    ("CREATE SCHEMA notes; CREATE TABLE notes.note (workspace text)", "notes.note"),
    ("ALTER TABLE scorer.lead NO FORCE ROW LEVEL SECURITY", "scorer.lead"),
    ("ALTER TABLE scorer.lead DISABLE ROW LEVEL SECURITY", "scorer.lead"),
    ("DROP POLICY own_workspace ON scorer.lead", "scorer.lead"),
    ("ALTER POLICY own_workspace ON scorer.lead USING (true)", "scorer.lead"),
    ("ALTER POLICY own_workspace ON scorer.lead TO PUBLIC", "scorer.lead"),
    ("CREATE POLICY wide ON scorer.lead TO leadflow_app USING (true)", "scorer.lead"),
    ("CREATE POLICY wide ON scorer.lead USING (true)", "scorer.lead"),
    ("GRANT SELECT ON log.records TO leadflow_app", "log.records"),
    ("ALTER TABLE scorer.due DISABLE ROW LEVEL SECURITY", "scorer.due"),
)


@pytest.fixture
async def two(database: Database) -> Database:
    """Rows of two workspaces."""
    for workspace in ("acme", "bolt"):
        async with database.transaction(workspace) as connection:
            await put(connection, workspace)
    return database


async def unprotected(connection: AsyncConnection) -> list[str]:
    """Tables that hold a workspace's rows and do not keep them apart as they must."""
    found = await connection.execute(
        text("""
            SELECT format('%s.%s', nspname, relname) AS name, relrowsecurity AND relforcerowsecurity AS forced,
                EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'workspace'
                    AND NOT attisdropped) AS has_workspace,
                EXISTS (
                    SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polroles = ARRAY[app.oid]
                        AND polcmd = '*' AND polpermissive AND polqual IS NOT NULL AND polwithcheck IS NOT NULL
                ) AS for_app,
                (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid
                    AND polroles && ARRAY[app.oid, 0::oid]) AS policies_of_app,
                (SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = pg_class.oid
                    AND polroles = ARRAY[app.oid] LIMIT 1) AS condition,
                has_table_privilege(app.oid, pg_class.oid, 'SELECT') AS readable
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = :app) AS app
            WHERE relkind IN ('r', 'p') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
            ORDER BY 1
        """),
        {"app": APP_ROLE},
    )
    wrong = []
    for row in found:
        if row.name in FOR_WORKERS:
            fine = not row.readable and not row.has_workspace
        elif row.name == "public.alembic_version":
            fine = True
        else:
            known = row.has_workspace or row.name in WITHOUT_WORKSPACE
            direct = "workspace = NULLIF(current_setting('leadflow.workspace'" in (row.condition or "")
            fine = known and row.forced and row.for_app and row.policies_of_app == 1
            fine = fine and (direct or row.name in WITHOUT_WORKSPACE)
        if not fine:
            wrong.append(row.name)
    return wrong


async def test_every_table_keeps_workspaces_apart(database: Database) -> None:
    async with as_owner(database) as connection:
        assert await unprotected(connection) == []


async def test_a_table_that_does_not_is_found(database: Database) -> None:
    async with as_owner(database) as connection:
        for damage, table in DAMAGES:
            async with connection.begin_nested() as savepoint:
                for statement in damage.split("; "):
                    await connection.execute(text(statement))

                assert await unprotected(connection) == [table], damage
                await savepoint.rollback()


async def test_a_query_that_forgets_its_filter_finds_its_own_workspace_only(two: Database) -> None:
    for workspace in ("acme", "bolt"):
        async with two.transaction(workspace) as connection:
            assert await rows(connection) == [workspace]


async def test_without_row_security_the_same_query_would_find_all(two: Database) -> None:
    async with as_owner(two) as connection:
        await connection.execute(text("ALTER TABLE pipeline.scored_model DISABLE ROW LEVEL SECURITY"))

    async with two.transaction("acme") as connection:
        assert await rows(connection) == ["acme", "bolt"]


async def test_work_that_spans_workspaces_says_so(two: Database) -> None:
    async with two.transaction(ALL_WORKSPACES) as connection:
        assert await rows(connection) == ["acme", "bolt"]


async def test_no_name_of_a_workspace_means_all(two: Database) -> None:
    for name in ("", "*", "all workspaces", "leadflow_worker", "nobody"):
        async with two.transaction(name) as connection:
            assert await rows(connection) == []


async def test_unset_means_no_rows(two: Database) -> None:
    async with as_owner(two) as connection:
        await connection.execute(text("SET LOCAL ROLE leadflow_app"))

        assert await rows(connection) == []


async def test_nobody_writes_into_another_workspace(two: Database) -> None:
    async def put_into_another() -> None:
        async with two.transaction("acme") as connection:
            await put(connection, "castle")

    async def move_into_another() -> None:
        async with two.transaction("acme") as connection:
            await connection.execute(text("UPDATE pipeline.scored_model SET workspace = 'castle'"))

    for attempt in (put_into_another, move_into_another):
        with pytest.raises(DBAPIError, match="row-level security"):
            await attempt()
    async with two.transaction("acme") as connection:
        await connection.execute(text("DELETE FROM pipeline.scored_model"))
    async with two.transaction(ALL_WORKSPACES) as connection:
        assert await rows(connection) == ["bolt"]


async def test_a_connection_that_is_used_again_after_a_failure_sees_nothing(two: Database) -> None:
    pool = Database(two.url, pool_size=1)

    async def fail(reach: str) -> None:
        async with pool.transaction(reach) as connection:
            await connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await fail("acme")

    async with as_owner(pool) as connection:
        left = "SELECT coalesce(current_setting('leadflow.workspace', true), '') || current_user"
        assert await connection.scalar(text(left)) == await connection.scalar(text("SELECT session_user"))
        await connection.execute(text("SET LOCAL ROLE leadflow_app"))
        assert await rows(connection) == []
    async with pool.transaction("bolt") as connection:
        assert await rows(connection) == ["bolt"]
    await pool.close()


async def test_a_setting_that_outlives_its_transaction_would_be_seen(two: Database) -> None:
    pool = Database(two.url, pool_size=1)
    async with as_owner(pool) as connection:
        await connection.execute(text("SELECT set_config('leadflow.workspace', 'acme', false)"))

    async with as_owner(pool) as connection:
        await connection.execute(text("SET LOCAL ROLE leadflow_app"))
        leaked = await rows(connection)

    assert leaked == ["acme"]
    await pool.close()


async def test_the_roles_of_services_can_nothing_but_read_and_write(database: Database) -> None:
    async with as_owner(database) as connection:
        found = await connection.execute(
            text("""
                SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin,
                    EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid) AS owns,
                    EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid) AS is_member
                FROM pg_roles WHERE rolname = ANY(:roles)
            """),
            {"roles": list(ROLES)},
        )
        powers = {row.rolname: any(row[1:]) for row in found}

    assert powers == dict.fromkeys(ROLES, False)


async def test_a_request_cannot_lift_what_keeps_workspaces_apart(two: Database) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError, match=r"permission denied|must be (owner|able)|not authorized|Only roles"):
            await execute(two, "acme", statement)


async def test_what_a_request_cannot_the_owner_can(two: Database) -> None:
    async with as_owner(two) as connection:
        await connection.execute(text("ALTER TABLE pipeline.scored_model DISABLE ROW LEVEL SECURITY"))
        await connection.execute(text("DROP POLICY own_workspace ON pipeline.scored_model"))


async def test_row_security_cannot_be_switched_off_for_a_query(two: Database) -> None:
    async with two.transaction("acme") as connection:
        await connection.execute(text("SET LOCAL row_security = off"))

        with pytest.raises(DBAPIError, match="row-level security"):
            await rows(connection)


async def test_rows_without_a_workspace_are_apart_as_what_they_belong_to(database: Database) -> None:
    for workspace in ("acme", "bolt"):
        async with database.transaction(workspace) as connection:
            for statement in CHAIN:
                await connection.execute(text(statement.format(workspace=workspace)))

    for workspace in ("acme", "bolt"):
        async with database.transaction(workspace) as connection:
            for table in ("scorer.due", "pipeline.delivery", "pipeline.delivery_attempt", "pipeline.webhook_message"):
                assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1, table
    async with database.transaction(ALL_WORKSPACES) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM pipeline.delivery_attempt")) == 2


async def test_migrations_go_on_after_the_tables_were_protected(two: Database) -> None:
    await migrate(two)

    await check_migrated(two)


async def test_an_owner_without_other_powers_is_enough(postgres_server: PostgresServer) -> None:
    """As on a managed server: the login that migrates may make roles and owns its database, and that is all."""
    async with a_plain_owner(postgres_server) as url:
        database = Database(url)
        await migrate(database)
        for workspace in ("acme", "bolt"):
            async with database.transaction(workspace) as connection:
                await put(connection, workspace)

        async with database.transaction("acme") as connection:
            assert await rows(connection) == ["acme"]
        async with database.transaction(ALL_WORKSPACES) as connection:
            assert await rows(connection) == ["acme", "bolt"]
        await database.close()


async def test_the_release_before_goes_on_while_this_one_is_rolled_out(postgres_server: PostgresServer) -> None:
    """It works as the tables' owner, takes no role and names no workspace."""
    async with a_plain_owner(postgres_server) as url:
        database = Database(url)
        await migrate(database)
        before = await asyncpg.connect(url)

        await before.execute("INSERT INTO pipeline.scored_model VALUES ('acme', 'model', 1, '{}', 'total')")
        found = await before.fetchval("SELECT workspace FROM pipeline.scored_model")

        assert found == "acme"
        await before.close()
        await database.close()


async def test_a_login_that_may_take_no_role_is_told_what_to_do(
    two: Database, postgres_server: PostgresServer
) -> None:
    async with a_login(postgres_server, "NOCREATEROLE") as name:
        stranger = Database(two.engine.url.set(username=name).render_as_string(hide_password=False))

        with pytest.raises(Misconfigured, match="GRANT leadflow_app, leadflow_worker"):
            await execute(stranger, "acme", "SELECT 1")

        await stranger.close()


async def test_services_on_the_embedded_server_log_in_as_nobodys_owner(
    postgres_server: PostgresServer, database_url: str
) -> None:
    services = Database(await service_url(database_url))

    async with services.transaction("acme") as connection:
        await put(connection, "acme")
        assert await rows(connection) == ["acme"]
    with pytest.raises(DBAPIError, match="permission denied"):
        await as_login(services, "SELECT * FROM pipeline.scored_model")

    await services.close()


async def execute(database: Database, reach: str, statement: str) -> None:
    async with database.transaction(reach) as connection:
        await connection.execute(text(statement))


async def as_login(database: Database, statement: str) -> None:
    async with database.as_login() as connection:
        await connection.execute(text(statement))


@asynccontextmanager
async def a_login(server: PostgresServer, powers: str) -> AsyncIterator[str]:
    name = f"{server.prefix}_login"
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"CREATE ROLE {name} LOGIN {powers}")
        yield name
        await connection.execute(f"DROP ROLE {name}")
    finally:
        await connection.close()


@asynccontextmanager
async def a_plain_owner(server: PostgresServer) -> AsyncIterator[str]:
    """The URL of an empty database whose owner is neither superuser nor BYPASSRLS."""
    async with a_login(server, "CREATEROLE") as name, server.fresh_url(migrated=False) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(f"GRANT leadflow_app, leadflow_worker TO {name} WITH ADMIN OPTION")
        await connection.execute(f"ALTER DATABASE {url.rpartition('/')[2].partition('?')[0]} OWNER TO {name}")
        await connection.close()
        yield (
            Database(url).engine.url.set(username=name, drivername="postgresql").render_as_string(hide_password=False)
        )


# From a lead and a subscription to what belongs to them and names no workspace.
CHAIN = (
    "INSERT INTO scorer.lead (id, workspace, created_at) VALUES (md5('{workspace}')::uuid, '{workspace}', now())",
    "INSERT INTO scorer.due (lead_id, due_at) VALUES (md5('{workspace}')::uuid, now())",
    (
        "INSERT INTO pipeline.subscription (id, workspace, description, url, event_types, filter, secrets, state, "
        "created_at) VALUES (md5('{workspace}')::uuid, '{workspace}', '', 'https://a.example', '{{}}', '{{}}', '[]', "
        "'enabled', now())"
    ),
    "INSERT INTO pipeline.webhook_message (id, type, body, created_at) VALUES ('{workspace}', 't', '', now())",
    (
        "INSERT INTO pipeline.delivery (subscription_id, message_id, lead_id, state, next_at, created_at) "
        "VALUES (md5('{workspace}')::uuid, '{workspace}', 'l', 'pending', now(), now())"
    ),
    (
        "INSERT INTO pipeline.delivery_attempt (delivery_id, number, at, duration_seconds) "
        "SELECT id, 1, now(), 0 FROM pipeline.delivery"
    ),
)
