"""What commands share that go over all leads: how many processes do it, and a bar that shows how far they are."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from services.scorer.leads.history import Progress

Processes = Annotated[
    int | None,
    typer.Option(min=0, max=256, help="Worker processes; 0: this one alone. Unless given, one per core."),
]


def number_of(processes: int | None) -> int:
    """How many worker processes: as many as there are cores, unless said otherwise."""
    return (os.cpu_count() or 1) if processes is None else processes


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal's stderr; elsewhere nothing."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("{task.completed:,} of {task.total:,} leads"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=0)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.leads)
