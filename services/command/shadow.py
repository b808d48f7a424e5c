"""`leadflow models shadow`: a second version scored beside the active one, and how far they are apart."""

import getpass
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.scorer.domain.what_if.shadow import Reason
from services.scorer.models import versions
from services.scorer.models.shadow_runs import ShadowRun
from services.scorer.models.versions import ModelBook
from services.scorer.shadows.report import Mover, Report, report
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

    async def work() -> Report:
        async with database(Settings()) as opened:
            return await report(opened, SystemClock(), ModelBook(), workspace, None, movers=movers)

    found = run_async(work())
    if as_json:
        # The web framework is imported by those who need it alone.
        from services.scorer.api.shadows import as_answer

        print(as_answer(found).model_dump_json(indent=2))
    else:
        _print(found)


async def _start(version: int, reason: str, workspace: str) -> ShadowRun:
    async with database(Settings()) as opened:
        return await versions.start_shadow(
            opened, SystemClock(), workspace, version, by=getpass.getuser(), reason=reason
        )


async def _stop(version: int, workspace: str) -> None:
    async with database(Settings()) as opened:
        await versions.stop_shadow(opened, SystemClock(), workspace, version, by=getpass.getuser())


def _print(found: Report) -> None:
    console = Console()
    console.print(
        f"version {found.run.version} in the shadow of version {found.active_version} "
        f"since {found.run.started_at:%Y-%m-%d %H:%M} ({found.run.reason})"
    )
    console.print(
        f"{found.compared} of {found.leads} leads compared; {found.alike} stand alike in bands, grade and thresholds"
    )
    console.print(_scores(found))
    changes = _changes(found)
    if changes.row_count:
        console.print(changes)
    if found.movers:
        console.print(_movers(found.movers))


def _scores(found: Report) -> Table:
    table = Table("score", "leads differing", "mean difference", "largest")
    for each in found.scores:
        table.add_row(each.name, str(each.differing), f"{each.mean:.2f}", f"{each.largest:.2f}")
    return table


def _changes(found: Report) -> Table:
    table = Table("what", "active", "shadow", "leads")
    named = [
        *((f"band of {each.name}", each) for each in found.bands),
        *(("grade", each) for each in found.grades),
        *((f"threshold {each.name}", each) for each in found.thresholds),
    ]
    for what, each in named:
        table.add_row(what, each.active or "none", each.shadow or "none", str(each.leads))
    return table


def _movers(movers: Sequence[Mover]) -> Table:
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
        name = mover.lead.emails[0] if mover.lead.emails else mover.lead.id
        table.add_row(name, score, f"{ours[score]:g}", f"{theirs[score]:g}", because)
    return table


def _named(reason: Reason) -> str:
    match reason.kind:
        case "group_clamp":
            return f"limits of group {reason.name}"
        case "score_clamp":
            return f"limits of {reason.score}"
        case "adjustment":
            return "adjusted by hand"
        case _:
            return reason.name or reason.kind
