"""A table that is printed as wide as it needs to be: a terminal breaks a long line better than a table its words."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDEST = 1_000


def whole_table(title: str | None = None) -> Table:
    """A table without columns yet, that takes little room beside what it shows."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))


def print_whole(console: Console, table: Table) -> None:
    """Print `table` with no cell broken, if need be wider than the screen."""
    needed = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
    Console(file=console.file, width=max(console.width, needed)).print(table)
