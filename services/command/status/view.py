"""How a standing is shown: a line per thing, the worrying ones marked. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from rich.table import Column, Table
from rich.text import Text

from services.command.status.reading import LETTERS, Letters, Part, Reading, Standing, Webhooks
from shared.db.due import Overdue
from shared.db.outbox import Backlog

State = Literal["ok", "look", "bad", "unknown"]

# In seconds: what the alerts call late, and what is worth a look before.
_LATE_SECONDS = 60.0
_SLOW_SECONDS = 5.0
_STYLES: Mapping[State, str] = {"ok": "green", "look": "yellow", "bad": "bold red", "unknown": "bold red"}
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing: what it is about, how it is, and whether somebody should look."""

    about: str
    name: str
    says: str
    state: State


def lines_of(standing: Standing) -> list[Line]:
    """Every line, in the order of an event's way through leadflow."""
    lines = [_line("consumers", name, part, _group) for name, part in standing.groups.items()]
    lines += [_line("outbox", name, part, _outbox) for name, part in standing.outboxes.items()]
    lines += [_line("due moments", name, part, _due) for name, part in standing.due.items()]
    lines += _webhooks(standing.webhooks)
    lines.append(_line("parked", "elements", standing.parked, _parked))
    lines += _letters(standing.dead_letters)
    return lines


def table_of(standing: Standing) -> Table:
    """The lines for a terminal."""
    table = Table(
        Column("", no_wrap=True), Column("", no_wrap=True), Column("", overflow="fold"), box=None, show_header=False
    )
    before = ""
    for line in lines_of(standing):
        about = line.about if line.about != before else ""
        table.add_row(about, line.name, Text(line.says, style=_STYLES[line.state]))
        before = line.about
    return table


def age(seconds: float) -> str:
    """A length of time in words, as exact as one wants it at a glance."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def _line(about: str, name: str, part: Part[T], judge: Callable[[T], tuple[str, State]]) -> Line:
    if part.found is None:
        return Line(about, name, f"not known: {part.trouble}", "unknown")
    says, state = judge(part.found)
    return Line(about, name, says, state)


def _group(reading: Reading) -> tuple[str, State]:
    members = f"{reading.members} {'process reads' if reading.members == 1 else 'processes read'} {reading.topic}"
    if not reading.members:
        members = f"nobody reads {reading.topic}"
    if not reading.records:
        return f"{members}, caught up", "ok" if reading.members else "look"
    behind = f"{members}, {reading.records:,} records behind, the oldest for {age(reading.seconds)}"
    return behind, _late(reading.seconds) if reading.members else "bad"


def _outbox(backlog: Backlog) -> tuple[str, State]:
    if not backlog.messages:
        return "empty", "ok"
    return f"{backlog.messages:,} messages, the oldest for {age(backlog.oldest_age_seconds)}", _late(
        backlog.oldest_age_seconds
    )


def _due(due: Overdue) -> tuple[str, State]:
    if not due.moments:
        return "none overdue", "ok"
    return f"{due.moments:,} overdue, the oldest for {age(due.oldest_age_seconds)}", _late(due.oldest_age_seconds)


def _webhooks(part: Part[Webhooks]) -> list[Line]:
    return [
        _line("webhooks", "deliveries", part, _deliveries),
        _line("webhooks", "given up", part, _given_up),
        _line("webhooks", "receivers", part, _receivers),
    ]


def _deliveries(webhooks: Webhooks) -> tuple[str, State]:
    if not webhooks.pending:
        return "none waits", "ok"
    return f"{webhooks.pending:,} wait, the oldest for {age(webhooks.oldest_age_seconds)}", _late(
        webhooks.oldest_age_seconds
    )


def _given_up(webhooks: Webhooks) -> tuple[str, State]:
    return (f"{webhooks.given_up:,}", "look") if webhooks.given_up else ("none", "ok")


def _receivers(webhooks: Webhooks) -> tuple[str, State]:
    states = {state: number for state, number in sorted(webhooks.endpoints.items()) if number}
    if not states:
        return "no subscriptions", "ok"
    troubled = states.keys() & {"paused", "disabled"}
    return ", ".join(f"{number} {state}" for state, number in states.items()), "look" if troubled else "ok"


def _parked(elements: int) -> tuple[str, State]:
    return (f"{elements:,} wait for somebody: leadflow parked list", "look") if elements else ("none", "ok")


def _letters(part: Part[Mapping[str, Letters]]) -> list[Line]:
    if part.found is None:
        return [_line("dead letters", "", part, lambda _: ("", "ok"))]
    return [Line("dead letters", topic, *_kept(letters)) for topic, letters in part.found.items()]


def _kept(letters: Letters) -> tuple[str, State]:
    if not letters.kept:
        return "none", "ok"
    looked_at = f"of the newest {LETTERS} " if letters.kept > LETTERS else ""
    sent_back = f", {looked_at}{letters.sent_back:,} sent back" if letters.sent_back else ""
    return f"{letters.kept:,} kept{sent_back}", "look" if letters.kept > letters.sent_back else "ok"


def _late(seconds: float) -> State:
    if seconds > _LATE_SECONDS:
        return "bad"
    return "look" if seconds > _SLOW_SECONDS else "ok"
