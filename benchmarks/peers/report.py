"""The figures as tables for people and as JSON for programs."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import inf

from benchmarks.peers.contestants import CONTESTANTS, Class
from benchmarks.peers.killing import Aftermath
from benchmarks.peers.runs import Figures

_TITLES: Mapping[Class, str] = {
    "A": "Class A, native state: scores stay where the engine keeps them",
    "B": "Class B, same sink: scores are in PostgreSQL",
}
_COLUMNS: Mapping[str, str] = {
    "engine s/M": "engine",
    "PostgreSQL s/M": "postgres",
    "broker s/M": "broker",
    "records/s": "rate",
    "memory MB": "memory",
    "state bytes/record": "disk",
}
# In class B, where everybody leaves the same in the same place: below 1 leadflow does not lead.
_BESIDE = "beside leadflow"
_HARM: Mapping[str, str] = {
    "wrong scores": "wrong_scores",
    "events lost": "lost",
    "events doubled": "doubled",
    "crossings missing": "crossings_missing",
    "crossings doubled": "crossings_doubled",
    "crossings invented": "crossings_invented",
    "same message again": "repeated",
}
_OURS = frozenset(one.name for one in CONTESTANTS if one.module == "leadflow")


def line(figures: Figures) -> str:
    """One run, while others are still to come."""
    if figures.refused:
        return f"no figure: {figures.refused}"
    return (
        f"engine {figures.engine:,.1f} s/M, postgres {figures.postgres:,.1f}, broker {figures.broker:,.1f},"
        f" {figures.rate:,.0f}/s, {figures.memory:,.0f} MB, {figures.disk:,.0f} bytes/record"
        + (f", {figures.doubled} crossings twice" if figures.doubled else "")
    )


def kill_line(aftermath: Aftermath) -> str:
    """One kill, while others are still to come."""
    if aftermath.harm is None:
        return f"not known: {aftermath.refused}"
    did = asdict(aftermath.harm)
    told = [f"{did[field]} {name}" for name, field in _HARM.items() if did[field]]
    return f"{', '.join(told) or 'nothing lost, nothing doubled'}; all done after {aftermath.seconds:.1f} s"


def table(found: Sequence[Figures], *, events: int, rounds: int) -> str:
    """Markdown: a table per class and mix, in the order of processor time; leadflow stands in A as what it is.

    In B each row says how much processor it uses beside leadflow's cheapest, PostgreSQL's part with it.
    """
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


def kill_table(found: Sequence[Aftermath], *, events: int) -> str:
    """Markdown: what each lost and doubled, beside its promise."""
    parts = [f"{events:,} records, killed half-way by kill -9, started again; crossings are messages of them."]
    states: tuple[Class, ...] = ("A", "B")
    for state in states:
        for mix in dict.fromkeys(one.mix for one in found):
            rows = [_kill_row(one) for one in found if one.state == state and one.mix == mix]
            if rows:
                head = ["engine", "promise", "kept", *_HARM, "done after s"]
                rule = ["---"] * 3 + ["---:"] * (len(_HARM) + 1)
                parts += [f"**{_TITLES[state]}, {mix} leads**", "\n".join([_cells(head), _cells(rule), *rows])]
    return "\n\n".join(parts)


def is_wrong(one: Figures | Aftermath) -> bool:
    """Whether a contestant ran and gave a wrong answer or none; or leadflow, killed, did not keep its promise."""
    broken = isinstance(one, Aftermath) and one.contestant in _OURS and not one.kept
    return one.ran and (one.refused is not None or broken)


def as_json(
    card: Mapping[str, str], found: Sequence[Figures], kills: Sequence[Aftermath], *, events: int, rounds: int
) -> str:
    """Every run and every kill."""
    told = {
        "machine": card,
        "records": events,
        "rounds": rounds,
        "runs": [asdict(one) for one in found],
        "kills": [asdict(one) for one in kills],
    }
    return json.dumps(told, indent=2)


def _table(found: Iterable[Figures], state: Class) -> list[str]:
    runs: dict[str, list[Figures]] = {}
    for one in found:
        runs.setdefault(one.contestant, []).append(one)
    is_compared = state == "B"
    columns = [*_COLUMNS, *([_BESIDE] if is_compared else [])]
    costs = {name: _cost(of) for name, of in runs.items()}
    # Without leadflow in the run, or with a wrong answer of its, there is nothing to be beside.
    ours = min((cost for name, cost in costs.items() if name in _OURS), default=inf)
    rows = [
        _cells([_shown(name, state), *_figures(runs[name]), *([_beside(costs[name], ours)] if is_compared else [])])
        for name in sorted(runs, key=lambda name: (costs[name], name))
    ]
    return [_cells(["engine", *columns]), _cells(["---", *["---:"] * len(columns)]), *rows]


def _cost(runs: Sequence[Figures]) -> float:
    right = [run.engine + run.postgres for run in runs if run.refused is None]
    return sorted(right)[len(right) // 2] if right else inf


def _beside(cost: float, ours: float) -> str:
    return "" if inf in {cost, ours} else f"{cost / ours:.2f}"


def _shown(name: str, state: Class) -> str:
    return f"**{name}** (in PostgreSQL)" if name in _OURS and state == "A" else name


def _figures(runs: Sequence[Figures]) -> list[str]:
    refused = next((run.refused for run in runs if run.refused is not None), None)
    if refused is not None:
        return [f"no figure: {refused}", *[""] * (len(_COLUMNS) - 1)]
    return [_spread([getattr(run, field) for run in runs]) for field in _COLUMNS.values()]


def _kill_row(one: Aftermath) -> str:
    if one.harm is None:
        return _cells([one.contestant, one.promise, f"not known: {one.refused}", *[""] * (len(_HARM) + 1)])
    did = asdict(one.harm)
    kept = "yes" if one.kept else "**no**"
    return _cells(
        [one.contestant, one.promise, kept, *(f"{did[field]:,}" for field in _HARM.values()), f"{one.seconds:.1f}"]
    )


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _spread(values: Sequence[float]) -> str:
    """Median, and the range where there is one."""
    median = _short(statistics.median(values))
    return median if len(values) == 1 else f"{median} [{_short(min(values))}..{_short(max(values))}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
