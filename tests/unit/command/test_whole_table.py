"""Tables that are wider than the screen."""

import io

from rich.console import Console

from services.command.whole_table import print_whole, whole_table


def test_no_word_is_broken_however_narrow_the_screen_is() -> None:
    table = whole_table()
    for column in ("id", "received"):
        table.add_column(column, no_wrap=True)
    table.add_row("a" * 40, "2026-03-02 12:00")
    printed = io.StringIO()

    print_whole(Console(file=printed, width=20), table)

    head, _, row = [line.split() for line in printed.getvalue().splitlines() if line.strip()]
    assert head == ["id", "received"]
    assert row == ["a" * 40, "2026-03-02", "12:00"]
