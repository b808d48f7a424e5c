"""`leadflow doctor`: every check, in words; exit code 1 when one failed."""

import json
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Console

from services.command.doctor.checks import Ground, examine
from services.command.doctor.findings import Finding, has_failed
from services.command.doctor.view import json_of, text_of
from services.command.runtime import run_async
from shared.clock import SystemClock


def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say what is wrong with this installation and what to do; changes nothing, exits with 1 when a check failed."""
    findings = run_async(_examined())
    if as_json:
        print(json.dumps(json_of(findings), indent=2))
    else:
        Console(highlight=False, soft_wrap=True).print(text_of(findings))
    if has_failed(findings):
        raise SystemExit(1)


async def _examined() -> list[Finding]:
    async with AsyncExitStack() as stack:
        return await examine(Ground(SystemClock(), stack))
