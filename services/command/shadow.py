"""`leadflow models shadow`: a second version scored beside the active one, and how far they are apart."""

import getpass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.scorer import models
from services.scorer.api.shadows import MoverReason, MovingLead, ShadowReport, as_answer
from services.scorer.models import ModelBook
from services.scorer.shadow_report import report
from services.scorer.shadow_repository import ShadowRun
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.settings import Settings

Version = Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="Version.")]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


def shadow(
    version: Version,
    reason: Annotated[str | None, typer.Option(help="Why, for the history; needed to start.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Score it in the shadow no more.")] = False,
    workspace: Workspace = "default",
) -> None:
    """Score a published version beside the active one, from the same events; nobody is told of its scores."""
    if stop:
        run_async(_stop(version, workspace))
        print(f"version {version} is not in the shadow any more")
        return
    if reason is None:
        fail(InvalidInput("say why with --reason"))
    run_async(_start(version, reason, workspace))
    print(f"version {version} is scored in the shadow of the active one: leadflow models shadow-report")


def shadow_report(
    workspace: Workspace = "default",
    movers: Annotated[int, typer.Option(min=0, max=100, help="Leads shown, those farthest apart first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="As the API answers.")] = False,
) -> None:
    """How far the version in the shadow is from the active one."""

    async def work() -> ShadowReport:
        async with database(Settings()) as opened:
            return as_answer(await report(opened, SystemClock(), ModelBook(), workspace, None, movers=movers))

    answer = run_async(work())
    if as_json:
        print(answer.model_dump_json(indent=2))
    else:
        _print(answer)


async def _start(version: int, reason: str, workspace: str) -> ShadowRun:
    async with database(Settings()) as opened:
        return await models.start_shadow(
            opened, SystemClock(), workspace, version, by=getpass.getuser(), reason=reason
        )


async def _stop(version: int, workspace: str) -> None:
    async with database(Settings()) as opened:
        await models.stop_shadow(opened, SystemClock(), workspace, version, by=getpass.getuser())


def _print(answer: ShadowReport) -> None:
    console = Console()
    console.print(
        f"version {answer.version} in the shadow of version {answer.active_version} "
        f"since {answer.started_at:%Y-%m-%d %H:%M} ({answer.reason})"
    )
    console.print(
        f"{answer.compared} of {answer.leads} leads compared; "
        f"{answer.alike} stand alike in bands, grade and thresholds"
    )
    scores = Table("score", "leads differing", "mean difference", "largest")
    for each in answer.scores:
        scores.add_row(
            each.score,
            str(each.differing),
            f"{each.mean_absolute_difference:.2f}",
            f"{each.largest_difference:.2f}",
        )
    console.print(scores)
    changes = Table("what", "active", "shadow", "leads")
    for band in answer.bands:
        changes.add_row(f"band of {band.score}", band.active or "none", band.shadow or "none", str(band.leads))
    for grade in answer.grades:
        changes.add_row("grade", grade.active or "none", grade.shadow or "none", str(grade.leads))
    for place in answer.thresholds:
        changes.add_row(f"threshold {place.threshold}", place.active, place.shadow, str(place.leads))
    if changes.row_count:
        console.print(changes)
    if answer.movers:
        console.print(_movers(answer.movers))


def _movers(movers: list[MovingLead]) -> Table:
    table = Table("lead", "score", "active", "shadow", "because")
    for mover in movers:
        ours, theirs = mover.active.scores, mover.shadow.scores
        both = [name for name in ours if name in theirs]
        score = max(both, key=lambda name: abs(ours[name] - theirs[name]))
        because = ", ".join(
            f"{_named(reason)} {round(reason.active, 2):g} -> {round(reason.shadow, 2):g}"
            for reason in mover.reasons
            if reason.kind != "component"
        )
        name = mover.emails[0] if mover.emails else str(mover.lead_id)
        table.add_row(name, score, f"{ours[score]:g}", f"{theirs[score]:g}", because)
    return table


def _named(reason: MoverReason) -> str:
    match reason.kind:
        case "group_clamp":
            return f"limits of group {reason.name}"
        case "score_clamp":
            return f"limits of {reason.score}"
        case "adjustment":
            return "adjusted by hand"
        case _:
            return reason.name or reason.kind
