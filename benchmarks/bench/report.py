"""The result as a table for people and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.bench.figures import Measured, spread


def table(results: Sequence[Measured]) -> str:
    """Markdown: one line a figure."""
    lines = [
        "| figure | measured | probe | measure | floor | aim | reached |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(_line, results),
    ]
    notes = [f"- {result.figure.name}: {result.note}" for result in results if result.note]
    return "\n".join(lines + (["", *notes] if notes else []))


def _line(result: Measured) -> str:
    figure = result.figure
    probe = f"{figure.probe}: {spread(result.probes)}" if result.probes else "-"
    cells = (
        figure.name,
        f"{spread(result.values)} {figure.unit}",
        probe,
        spread(result.measures) if result.probes else f"{figure.demand}",
        _bound(figure.floor),
        _bound(figure.aim),
        result.verdict,
    )
    return "| " + " | ".join(cells) + " |"


def _bound(bound: float | None) -> str:
    return "-" if bound is None else f"{bound:g}"


def as_json(card: Mapping[str, str], results: Sequence[Measured]) -> str:
    """Everything that was measured, every round of it."""
    found = [{**asdict(result), "measure": result.measure, "verdict": result.verdict} for result in results]
    return json.dumps({"machine": card, "figures": found}, indent=2)
