"""`leadflow leads`: everything that is held about a lead, and erasing it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic_core import from_json, to_json

from services.command.runtime import database, database_and_log, run_async
from services.ingest import erasure_part as ingest
from services.ingest.parked.repository import ParkedElement, ParkedRepository
from services.pipeline import erasure_part as pipeline
from services.pipeline.erasure import exporting as pipeline_exporting
from services.pipeline.erasure.sealing_stored import seal_stored as seal_stored_leads
from services.pipeline.service import PipelineService
from services.scorer import erasure_part as scorer
from services.scorer.api.erasure_schemas import erasure_view, scorer_export
from services.scorer.erasure import exporting as scorer_exporting
from services.scorer.erasure.sealing_stored import Sealed, seal_stored
from services.scorer.explaining import Explainer
from services.scorer.service import Scorer
from shared.clock import Clock, SystemClock
from shared.db.engine import Database
from shared.db.migrations import check_migrated
from shared.db.outbox import Outbox
from shared.errors import InvalidInput
from shared.events.topics import ALL_TOPICS, DEAD_LETTER_TOPICS
from shared.log.dead_letter import StoredLetter
from shared.log.letter_sealing import letters_naming
from shared.log.protocol import Log
from shared.sealing import erasures
from shared.sealing.erasures import Erasure, Part
from shared.sealing.mentions import pattern_of
from shared.sealing.parts import Work, do_part
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What is held about single leads: export and erase."
)

LeadName = Annotated[str, typer.Argument(help="Id of the lead, or an e-mail address of it.", metavar="LEAD|EMAIL")]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def export(
    lead: LeadName,
    out: Annotated[Path | None, typer.Option(help="File to write to, readable for its owner alone.")] = None,
    workspace: Workspace = "default",
) -> None:
    """Everything that is held about a lead, as JSON (GDPR, article 15)."""

    async def work() -> dict[str, Any]:
        async with _installation() as installation:
            return await installation.export(workspace, await installation.lead(workspace, lead))

    text = to_json(run_async(work()), indent=2)
    if out is None:
        print(text.decode())
        return
    out.touch(mode=0o600)
    out.write_bytes(text + b"\n")


@app.command()
def erase(
    lead: Annotated[
        str | None, typer.Argument(help="Id of the lead, or an e-mail address.", metavar="LEAD|EMAIL")
    ] = None,
    restored: Annotated[
        bool,
        typer.Option("--restored", help="In place of a lead: whatever was erased before, and a backup brought back."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the erasure as JSON.")] = False,
    workspace: Workspace = "default",
) -> None:
    """Erase a lead with all that is held about it, for good (GDPR, article 17)."""
    if (lead is None) != restored:
        raise InvalidInput("give a lead, or --restored, and not both", field="lead")

    async def work() -> list[Erasure]:
        async with _installation() as installation:
            if lead is None:
                return await installation.erase_restored(workspace)
            id_ = await installation.lead(workspace, lead)
            if not yes:
                typer.confirm(f"Erase lead {id_} for good?", abort=True, err=True)
            return [await installation.erase(workspace, id_)]

    done = run_async(work())
    if as_json:
        print(to_json([erasure_view(one) for one in done], indent=2).decode())
        return
    for one in done:
        print(f"lead {one.lead_id} is erased, with {len(one.leads) - 1} that had become part of it")
    if not done:
        print("nothing to erase")


@app.command()
def seal() -> None:
    """Seal what was stored before there were data keys, and put all data keys under the first master key."""

    async def work() -> tuple[Sealed, int]:
        settings = Settings()
        if not settings.sealing:
            raise InvalidInput("LEADFLOW_SEALING is off", field="sealing")
        async with database(settings) as opened:
            await check_migrated(opened)
            return await seal_stored(opened), await seal_stored_leads(opened)

    done, leads = run_async(work())
    print(
        f"{done.events:,} events, {done.leads:,} scored leads, {done.names:,} names and {leads:,} leads of the"
        f" pipeline sealed, {done.keys:,} data keys put under the first master key"
    )


@dataclass(frozen=True, slots=True)
class _Installation:
    """Every service of one installation, as far as erasing and exporting need them."""

    database: Database
    log: Log
    clock: Clock

    async def lead(self, workspace: str, name: str) -> UUID:
        if "@" in name:
            return await Explainer(self.database, self.clock).named(workspace, "email", name.strip().lower())
        try:
            return UUID(name)
        except ValueError as error:
            raise InvalidInput(f"{name} is neither the id of a lead nor an e-mail address", field="LEAD") from error

    async def export(self, workspace: str, lead_id: UUID) -> dict[str, Any]:
        explanation = await Explainer(self.database, self.clock).explain(workspace, lead_id)
        survivor = explanation.subject.id
        async with self.database.transaction(workspace) as connection:
            of_scorer = await scorer_exporting.holding(connection, workspace, survivor)
            try:
                of_pipeline = await pipeline_exporting.holding(connection, (workspace, str(survivor)))
            except InvalidInput:
                of_pipeline = None
        names = [name.value for name in of_scorer.names]
        return {
            "lead": str(survivor),
            "workspace": workspace,
            "exported_at": self.clock.now(),
            "scorer": from_json(to_json(scorer_export(explanation, of_scorer))),
            "pipeline": None if of_pipeline is None else from_json(to_json(of_pipeline)),
            "parked": [_parked(one) for one in await self._parked(workspace, names)],
            "dead_letters": [_letter(one) for one in await self._letters(workspace, names)],
        }

    async def erase(self, workspace: str, lead_id: UUID) -> Erasure:
        """All parts at once, whether or not the services run; they find that there is nothing left to do."""
        outbox = Outbox("scorer")
        erasure = await Scorer(self.database, outbox, self.clock).erase(workspace, lead_id, actor="command")
        while await outbox.relay_once(self.database, self.log):
            pass
        for part, work in self._parts().items():
            erasure = await do_part(self.database, self.clock, erasure, part, work)
        return erasure

    async def erase_restored(self, workspace: str) -> list[Erasure]:
        """Erase again whatever of the erased leads is there."""
        async with self.database.transaction(workspace) as connection:
            before = await erasures.all_of(connection, workspace)
        again: list[Erasure] = []
        service = self._pipeline()
        for one in before:
            await service.erase(workspace, [str(lead) for lead in one.leads])
            for lead in one.leads:
                try:
                    again.append(await self.erase(workspace, lead))
                except InvalidInput:
                    continue
        return again

    def _parts(self) -> dict[Part, Work]:
        return {
            "scorer": scorer.erasure_part(self.database, self.log),
            "pipeline": pipeline.erasure_part(self._pipeline(), self.database, self.log),
            "ingest": ingest.erasure_part(ParkedRepository(self.database), self.database, self.log),
        }

    def _pipeline(self) -> PipelineService:
        return PipelineService(self.database, self.clock, Outbox("pipeline"), on_told=lambda: None)

    async def _parked(self, workspace: str, names: list[str]) -> list[ParkedElement]:
        pattern = pattern_of(names)
        if pattern is None:
            return []
        return [one async for one in ingest.naming(ParkedRepository(self.database), workspace, pattern)]

    async def _letters(self, workspace: str, names: list[str]) -> list[StoredLetter]:
        pattern = pattern_of(names)
        if pattern is None:
            return []
        return [
            letter
            for topic in DEAD_LETTER_TOPICS
            for letter in await letters_naming(
                self.database, self.log, topic.name, workspace=workspace, names=pattern
            )
        ]


@asynccontextmanager
async def _installation() -> AsyncIterator[_Installation]:
    async with database_and_log(Settings()) as (opened, log):
        await check_migrated(opened)
        await log.ensure_topics(ALL_TOPICS)
        yield _Installation(opened, log, SystemClock())


def _parked(one: ParkedElement) -> dict[str, Any]:
    return {
        "id": one.id,
        "received_at": one.origin.received_at,
        "source": one.origin.source,
        "state": one.state,
        "reason": one.reason.message,
        "headers": one.origin.headers,
        "body": one.body.decode("utf-8", "backslashreplace"),
    }


def _letter(one: StoredLetter) -> dict[str, Any]:
    record = one.record
    return {
        "topic": record.partition.topic,
        "offset": record.offset,
        "set_aside_at": one.died_at,
        "reason": one.reason,
        "value": record.value.decode("utf-8", "backslashreplace"),
    }
