"""F16: the schema goes up and comes down again under load, and two releases work side by side."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tests.faults.judgement import judge
from tests.faults.processes import Process, Tree
from tests.faults.servers import MIGRATING
from tests.faults.staging import Run, built, comes, nobody_noticed, under_load
from tests.faults.trees import copied
from tests.faults.world import World

_SERVICES = ("ingest", "scorer", "pipeline")
# What the next release adds to tables that are written to all the time, each in a transaction of its own.
_NEXT_RELEASE = """\
from alembic import op

revision = "next_release"
down_revision = {head!r}

TABLES = ("scorer.lead", "scorer.event", "scorer.outbox", "pipeline.lead", "pipeline.delivery", "pipeline.outbox")


def upgrade():
    _of_each("ADD COLUMN of_the_next_release integer NOT NULL DEFAULT 0")


def downgrade():
    _of_each("DROP COLUMN of_the_next_release")


def _of_each(change):
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '10s'")
        for table in TABLES:
            op.execute(f"ALTER TABLE {{table}} {{change}}")
"""


async def f16_upgrade(run: Run) -> World:
    """to the next release and back under load, schema and processes, both releases side by side"""
    with copied(run.directory / "next", _is_the_next_release, of=run.plan.tree.directory) as newer:
        async with built(run) as here:
            await here.start_services()
            async with under_load(here, leads=run.size.leads, per_second=run.size.events, most_tries=2) as goes_on:
                await goes_on()
                await here.command("migrate", tree=newer)
                await goes_on()
                await _replaced(here, "2", newer)
                await goes_on()
                await _replaced(here, "3", run.plan.tree)
                await goes_on()
                await _migrated_down(here, newer)
                await goes_on()
            here.notes.append(f"slowest answer {here.ledger.slowest_answer_seconds:.1f} s")
            nobody_noticed(here)
            await judge(here)
    return here


async def _replaced(here: World, number: str, tree: Tree) -> None:
    """Each service by one of this tree: the new one first, and both work for a while."""
    old = list(here.supervisor.processes)
    for service in _SERVICES:
        process = here.start(f"{service}-{number}", tree=tree)
        await comes(process.is_ready, f"{process.name} is ready")
    await comes(lambda: _both_work(here), "both releases count events")
    for process in old:
        await here.supervisor.retire(process)
        _ended_in_order(here, process)


async def _both_work(here: World) -> bool:
    """Whether every scorer holds partitions."""
    return all([await process.holds_partitions() for process in here.supervisor.of("scorer")])


def _ended_in_order(here: World, process: Process) -> None:
    if any(process.exits):
        here.violations.append(f"{process.name} ended with {process.exits}")


def _is_the_next_release(sources: Path) -> None:
    head = ScriptDirectory.from_config(_config(sources)).get_current_head()
    (sources / "migrations/versions/9999_next_release.py").write_text(_NEXT_RELEASE.format(head=head))


def _config(sources: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(sources / "migrations"))
    return config


async def _migrated_down(here: World, tree: Tree) -> None:
    """One step, as an operator would by alembic: leadflow itself never takes anything back."""

    def step(connection: Connection) -> None:
        config = _config(tree.directory)
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")

    async with MIGRATING, here.opened_database() as database, database.engine.connect() as connection:
        await connection.run_sync(step)
        await connection.commit()
