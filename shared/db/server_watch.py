"""The task that shows how PostgreSQL itself does."""

from shared.db.engine import Database
from shared.db.observed import server_state, show_pool, show_server
from shared.periodic import every
from shared.service import Task


def server_watch_task(database: Database, *, every_seconds: float) -> Task:
    """Shows again and again how the server of `database` does, and from now on this process's pool."""
    show_pool(database.engine)

    async def observe() -> int:
        async with database.as_login() as connection:
            show_server(await server_state(connection))
        return 0

    return every(every_seconds, observe, name="PostgreSQL")
