"""The figures as tables for people and as JSON for programs."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from benchmarks.peers.contestants import CONTESTANTS, Class
from benchmarks.peers.runs import Figures

_TITLES: Mapping[Class, str] = {
    "A": "Class A, native state: scores stay where the engine keeps them",
    "B": "Class B, same sink: scores are in PostgreSQL",
}
_HEAD = ("engine", "promise when killed", "engine s/M", "PostgreSQL s/M", "broker s/M", "records/s")


def line(figures: Figures) -> str:
    """One run, while others are still to come."""
    head = f"{figures.contestant:42s} {figures.state} {figures.mix:8s}"
    if figures.refused:
        return f"{head} no figure: {figures.refused}"
    return (
        f"{head} engine {figures.engine:7.1f} s/M  postgres {figures.postgres:7.1f}  broker {figures.broker:6.1f}"
        f"  {figures.rate:9,.0f}/s" + (f"  {figures.doubled} crossings twice" if figures.doubled else "")
    )


def table(found: Sequence[Figures], *, events: int, rounds: int) -> str:
    """Markdown: a table per class and mix, in the order of processor time; leadflow stands in A as what it is."""
    parts = [
        f"{events:,} records a run, {rounds} rounds, median [min..max]; s/M: processor seconds a million records."
    ]
    states: tuple[Class, ...] = ("A", "B")
    for state in states:
        for mix in dict.fromkeys(one.mix for one in found):
            of_both = [one for one in found if one.mix == mix and (one.state == state or one.contestant in _OURS)]
            if any(one.state == state for one in of_both):
                parts += [f"**{_TITLES[state]}, {mix} leads**", "\n".join(_table(of_both, state))]
    return "\n\n".join(parts)


def is_wrong(figures: Figures) -> bool:
    """Whether a contestant ran, and gave a wrong answer or none."""
    return figures.ran and figures.refused is not None


def as_json(card: Mapping[str, str], found: Sequence[Figures], *, events: int, rounds: int) -> str:
    """Every run."""
    told = {"machine": card, "records": events, "rounds": rounds, "runs": [asdict(one) for one in found]}
    return json.dumps(told, indent=2)


_OURS = frozenset(one.name for one in CONTESTANTS if one.module == "leadflow")
_PROMISES = {one.name: one.safety for one in CONTESTANTS}


def _table(found: Iterable[Figures], state: Class) -> list[str]:
    runs: dict[str, list[Figures]] = {}
    for one in found:
        runs.setdefault(one.contestant, []).append(one)
    rows = sorted((_cost(of), _row(name, of, state)) for name, of in runs.items())
    return [f"| {' | '.join(_HEAD)} |", "| --- | --- | ---: | ---: | ---: | ---: |", *(row for _, row in rows)]


def _cost(runs: Sequence[Figures]) -> float:
    right = [run.engine + run.postgres for run in runs if run.refused is None]
    return sorted(right)[len(right) // 2] if right else float("inf")


def _row(name: str, runs: Sequence[Figures], state: Class) -> str:
    shown = f"**{name}** (in PostgreSQL)" if name in _OURS and state == "A" else name
    refused = next((run.refused for run in runs if run.refused is not None), None)
    if refused is not None:
        return f"| {shown} | {_PROMISES[name]} | no figure: {refused.replace('|', '/')} | | | |"
    columns = ("engine", "postgres", "broker", "rate")
    cells = [_spread([getattr(run, column) for run in runs]) for column in columns]
    return f"| {' | '.join([shown, _PROMISES[name], *cells])} |"


def _spread(values: Sequence[float]) -> str:
    """Median, and the range where there is one."""
    median = _short(statistics.median(values))
    return median if len(values) == 1 else f"{median} [{_short(min(values))}..{_short(max(values))}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
