"""`leadflow migrate`: brings the database to what this release needs."""

from services.command.runtime import database_of_owner, run_async
from shared.db import migrations
from shared.settings import Settings


def migrate() -> None:
    """Apply the missing migrations; safe to run from several machines at once."""
    run_async(_migrate(Settings()))


async def _migrate(settings: Settings) -> None:
    async with database_of_owner(settings) as opened:
        await migrations.migrate(opened)
        await migrations.check_migrated(opened)
    print("the database is up to date")
