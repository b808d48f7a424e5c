"""What the metrics tell of PostgreSQL: this process's pool, units of work that failed, and the server itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from shared.observability import metrics

_CONNECTIONS = text("""
    SELECT coalesce(state, 'other') AS state, count(*) AS number FROM pg_stat_activity
    WHERE backend_type = 'client backend' GROUP BY 1
""")
_SERVER = text("""
    SELECT CAST(current_setting('max_connections') AS integer) AS max_connections,
        pg_database_size(current_database()) AS bytes,
        (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS xid_age,
        (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND backend_type = 'client backend') AS longest_seconds,
        (SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables) AS dead_rows,
        (SELECT count(*) FROM pg_replication_slots WHERE NOT active) AS inactive_slots,
        (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)), 0)
         FROM pg_replication_slots) AS wal_bytes
""")
# Of the driver itself: a connection that is gone, or that went in the middle of something.
_LOST = asyncpg.InterfaceError | asyncpg.InternalClientError


@dataclass(frozen=True, slots=True)
class ServerState:
    """PostgreSQL as everybody may see it: `connections` by what they do; sizes in bytes."""

    connections: Mapping[str, int]
    max_connections: int
    database_bytes: int
    longest_transaction_seconds: float
    xid_age: int
    dead_rows: int
    inactive_replication_slots: int
    retained_wal_bytes: int


def count_error(error: BaseException) -> None:
    """Count a unit of work that PostgreSQL ended; what was not PostgreSQL's doing is not counted."""
    if (class_ := error_class(error)) is not None:
        metrics.DB_ERRORS.labels(class_).inc()


def error_class(error: BaseException) -> str | None:
    """A class of SQLSTATE, or why there is none; None when it was not PostgreSQL."""
    if isinstance(error, PoolTimeoutError):
        return "pool"
    if isinstance(
        error, OSError | TimeoutError | InterfaceError | asyncpg.InterfaceError | asyncpg.InternalClientError
    ):
        return "connection"
    if not isinstance(error, DBAPIError | asyncpg.PostgresError):
        return None
    state = sqlstate(error)
    if not state:
        return "connection" if getattr(error, "connection_invalidated", False) else metrics.OTHER
    return state[:2] if state[:2] in metrics.SQLSTATE_CLASSES else metrics.OTHER


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of an error, whoever brought it; "" when there is none."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def show_pool(engine: AsyncEngine) -> None:
    """Let the metrics of this process tell of this pool, as it is at the moment they are asked for."""
    pool = engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    counts: dict[str, Callable[[], float]] = {
        "checked_out": pool.checkedout,
        "idle": pool.checkedin,
        "free": lambda: pool.size() - pool.checkedout() - pool.checkedin(),
    }
    for state in metrics.POOL_STATES:
        metrics.DB_POOL.labels(state).set_function(counts[state])


async def server_state(connection: AsyncConnection) -> ServerState:
    """How the server does now."""
    states = dict.fromkeys(metrics.CONNECTION_STATES, 0)
    for row in await connection.execute(_CONNECTIONS):
        states[row.state if row.state in states else metrics.OTHER] += row.number
    server = (await connection.execute(_SERVER)).one()
    return ServerState(
        connections=states,
        max_connections=server.max_connections,
        database_bytes=server.bytes,
        longest_transaction_seconds=float(server.longest_seconds),
        xid_age=server.xid_age,
        dead_rows=int(server.dead_rows),
        inactive_replication_slots=server.inactive_slots,
        retained_wal_bytes=int(server.wal_bytes),
    )


def show_server(state: ServerState) -> None:
    """Let the metrics tell it."""
    for name, number in state.connections.items():
        metrics.POSTGRES_CONNECTIONS.labels(name).set(number)
    metrics.POSTGRES_MOST_CONNECTIONS.set(state.max_connections)
    metrics.POSTGRES_BYTES.set(state.database_bytes)
    metrics.POSTGRES_LONGEST_TRANSACTION.set(state.longest_transaction_seconds)
    metrics.POSTGRES_XID_AGE.set(state.xid_age)
    metrics.POSTGRES_DEAD_ROWS.set(state.dead_rows)
    metrics.POSTGRES_SLOTS.set(state.inactive_replication_slots)
    metrics.POSTGRES_WAL_BYTES.set(state.retained_wal_bytes)
