"""A backtest as tables in a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.scorer.domain.what_if.backtest.discrimination import Comparison
from services.scorer.domain.what_if.backtest.intervals import Estimate
from services.scorer.domain.what_if.backtest.observing import EventMatch, Question
from services.scorer.domain.what_if.backtest.report import ModelReport, Report
from services.scorer.domain.what_if.backtest.thresholds import Selection
from shared.documents.durations import DAY_US

# So much of what had happened may have been unknown before that is worth a word.
_UNKNOWN_SHARE: Final = 0.05
_ROWS: Final = 10


def named(matches: Sequence[EventMatch]) -> str:
    """Events in words."""
    return ", ".join(map(str, matches))


def print_report(console: Console, report: Report) -> None:
    """Everything that a screen can hold; pictures and JSON have the rest."""
    console.print(escape(_asked(report.question)), highlight=False)
    console.print(
        f"{report.leads:,} leads, {report.leads_won:,} won; {report.observations:,} observations from "
        f"{report.first_at:%Y-%m-%d} to {report.last_at:%Y-%m-%d}, of which {_percent(report.wins)} won.",
        highlight=False,
    )
    for why, number in report.left_out.items():
        console.print(f"Left out: {number:,} {why}.", highlight=False)
    _warn_of_unknown(console, report)
    console.print(_ranking(report))
    best = report.models[report.ranking[0]]
    if len(report.models) > 1:
        console.print(f"\nOf [bold]{escape(best.label)}[/], the first of them (--json and --plot have the others):")
    for table in (_deciles(best), _thresholds(best), _calibration(best)):
        console.print(table)
    if best.advice:
        console.print(_advice(report))


def _asked(question: Question) -> str:
    within = f" within {_days(question.within_us)}" if question.within_us is not None else " rather than lost"
    if question.every_us is not None:
        return f"Is an open lead won{within}? Asked every {_days(question.every_us)} of each lead's life."
    return f"Is a lead won{within}? Asked at its first {named(question.handover)}."


def _days(duration_us: int) -> str:
    return f"{duration_us / DAY_US:g} d"


def _warn_of_unknown(console: Console, report: Report) -> None:
    unknown = sum(report.unknown_events.values())
    if unknown <= _UNKNOWN_SHARE * report.events:
        return
    sources = " ".join(f"--imported {source}" for source in report.unknown_events)
    console.print(
        f"[yellow]{unknown:,} of {report.events:,} events had happened and do not count: they were received later. "
        f"If they are history that was imported since, give {escape(sources)}.",
        highlight=False,
    )


def _ranking(report: Report) -> Table:
    scores = {model.score for model in report.models}
    table = Table("", "model", "AUC", "95 %", "behind the first", "within noise of", "best tenth wins")
    for rank, place in enumerate(report.ranking, start=1):
        model = report.models[place]
        behind = _between(report.comparisons, report.ranking[0], place)
        table.add_row(
            str(rank),
            escape(model.label if len(scores) == 1 else f"{model.label}: {model.score}"),
            f"{model.area.value:.3f}",
            f"{model.area.low:.3f} to {model.area.high:.3f}",
            "" if behind is None else _difference(behind),
            escape(", ".join(_equals(report, place))),
            _percent(model.deciles[0].wins),
        )
    return table


def _between(comparisons: Sequence[Comparison], one: int, other: int) -> Comparison | None:
    return next((each for each in comparisons if {each.better, each.worse} == {one, other} and one != other), None)


def _difference(comparison: Comparison) -> str:
    difference = comparison.difference
    return f"{difference.value:.3f} ({difference.low:.3f} to {difference.high:.3f})"


def _equals(report: Report, place: int) -> Iterator[str]:
    for other in report.ranking:
        comparison = _between(report.comparisons, place, other)
        if comparison is not None and comparison.within_noise:
            yield report.models[other].label


def _deciles(model: ModelReport) -> Table:
    table = Table("tenth", "scores", "wins", "lift", title="Lift by decile", title_justify="left")
    for each in model.deciles:
        lift = f"{each.lift.value:.2f} ({each.lift.low:.2f} to {each.lift.high:.2f})"
        scores = f"{each.highest:g} to {each.lowest:g}"
        table.add_row(str(each.decile), scores, _percent(each.wins), lift)
    return table


def _thresholds(model: ModelReport) -> Table:
    """About ten steps, and every level that the document names."""
    table = Table(
        "threshold",
        "",
        "selects",
        "precision",
        "recall",
        title="Precision and recall by threshold",
        title_justify="left",
    )
    names = dict(reversed([(level, name) for name, level in model.levels]))
    for each in _steps(model.selections, set(names)):
        name = escape(names.get(each.threshold, ""))
        row = (f"{each.threshold:g}", name, f"{each.selected:,}", _percent(each.precision), _percent(each.recall))
        table.add_row(*row)
    return table


def _steps(selections: Sequence[Selection], named: set[float]) -> Iterator[Selection]:
    number = selections[-1].selected or 1
    before = -1
    for each in selections:
        step = int(each.selected / number * _ROWS)
        if each.threshold in named or step > max(before, 0):
            yield each
        before = max(before, step)


def _calibration(model: ModelReport) -> Table:
    table = Table("scores", "mean", "observations", "wins", title="Calibration", title_justify="left")
    for each in reversed(model.bins):
        scores = f"{each.highest:g} to {each.lowest:g}"
        table.add_row(scores, f"{each.mean:.1f}", f"{each.observations:,}", _percent(each.wins))
    return table


def _advice(report: Report) -> Table:
    table = Table(
        *("model", "wanted", "threshold", "leads a week", "share of wins", "of them win"),
        title="Thresholds for what is wanted",
        title_justify="left",
    )
    for place in report.ranking:
        for each in report.models[place].advice:
            per_week = each.wanted == "leads_per_week"
            wanted = f"{each.amount:g} leads a week" if per_week else f"{each.amount:.0%} of the wins"
            table.add_row(
                escape(report.models[place].label),
                wanted,
                _plain(each.threshold, ".2f"),
                _plain(each.leads_per_week, ".1f"),
                _percent(each.share_of_wins),
                _percent(each.precision),
            )
    return table


def _plain(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"
