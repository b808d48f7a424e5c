"""`leadflow rebuild`: every lead computed anew from its stored events, or compared with them."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic_core import to_json

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.command.workers import Processes, number_of, progress_bar
from services.scorer.domain.events.text import read_moment
from services.scorer.leads.history import Progress, Tuning
from services.scorer.rebuild.rebuilding import LISTED_LEADS, Rebuilt, Verification
from services.scorer.rebuild.rebuilding import rebuild as rebuild_leads
from services.scorer.rebuild.rebuilding import verify as verify_leads
from shared.clock import SystemClock
from shared.db.migrations import check_migrated
from shared.errors import InvalidInput, LeadflowError
from shared.settings import Settings


def rebuild(  # noqa: PLR0917 - typer reads options from parameters
    workspace: Annotated[str, typer.Option(help="Workspace.")] = "default",
    processes: Processes = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare only: write nothing, exit 1 on a difference.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="With --verify: moment of the digest, RFC 3339; else that of the last event."),
    ] = None,
    restart: Annotated[bool, typer.Option(help="Begin with the first lead, whatever was done before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Compute every lead anew from its stored events, beside live traffic; cut short, the same command goes on."""
    try:
        if verify and restart:
            raise InvalidInput("--verify writes nothing, so there is nothing to restart")
        if at is not None and not verify:
            raise InvalidInput("--at belongs to --verify")
        moment = None if at is None else read_moment(at, "--at")
    except LeadflowError as error:
        fail(error)
    if verify:
        _verify(workspace, moment, number_of(processes), as_json=json)
    else:
        _rebuild(workspace, number_of(processes), restart=restart, as_json=json)


def _rebuild(workspace: str, processes: int, *, restart: bool, as_json: bool) -> None:
    async def work(told: Callable[[Progress], None]) -> Rebuilt:
        async with database(Settings()) as opened:
            await check_migrated(opened)
            return await rebuild_leads(
                opened, workspace, SystemClock(), processes=processes, restart=restart, on_progress=told
            )

    try:
        with progress_bar("rebuilding") as told:
            done = run_async(work(told))
    except KeyboardInterrupt:
        print("leadflow: cut short; the same command goes on from there", file=sys.stderr)
        raise SystemExit(130) from None
    if as_json:
        print(to_json(done).decode())
        return
    if done.resumed:
        print("went on with the rebuild that was cut short before")
    print(f"{done.leads:,} leads computed from their events under version {done.model_version} of the model")
    print(f"{done.repaired:,} were stored otherwise and are mended, {done.told:,} score changes told")


def _verify(workspace: str, at: datetime | None, processes: int, *, as_json: bool) -> None:
    async def work(told: Callable[[Progress], None]) -> Verification:
        async with database(Settings()) as opened:
            await check_migrated(opened)
            return await verify_leads(
                opened, workspace, SystemClock(), at=at, tuning=Tuning(processes, on_progress=told)
            )

    with progress_bar("verifying") as told:
        found = run_async(work(told))
    if as_json:
        print(to_json(found).decode())
    else:
        _print(found)
    if found.different:
        raise SystemExit(1)


def _print(found: Verification) -> None:
    for lead in found.differing:
        for difference in lead.differences:
            print(
                f"{lead.lead_id}  {difference.field}: stored {difference.stored}, by events {difference.from_events}"
            )
    if found.different > LISTED_LEADS:
        print(f"... and {found.different - LISTED_LEADS:,} leads more")
    print(f"{found.leads:,} leads under version {found.model_version} of the model, {found.different:,} differ")
    print(f"at      {found.at.astimezone(UTC).isoformat().replace('+00:00', 'Z')}")
    print(f"digest  sha256:{found.digest}")
