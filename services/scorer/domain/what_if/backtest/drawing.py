"""A backtest in pictures: all models in one ROC curve and one lift chart, then two plots for each of them."""

from collections.abc import Iterable, Sequence
from typing import Final

from services.scorer.domain.what_if.backtest.canvas import COLOURS, Axis, Panel, Point, Series, svg
from services.scorer.domain.what_if.backtest.intervals import Estimate
from services.scorer.domain.what_if.backtest.report import ModelReport, Report
from services.scorer.domain.what_if.backtest.thresholds import Selection

_GREY: Final = "#aaaaaa"
_DECILES: Final = 10
_SMALLEST_SHARE: Final = 0.01


def draw(report: Report) -> str:
    """SVG text; the same report always gives the same text."""
    models = [report.models[place] for place in report.ranking]
    panels = [_roc(models), _lift(models)]
    for model in models:
        panels += [_selections(model), _bins(model, report.wins)]
    title = f"{report.leads:,} leads, {report.leads_won:,} won: whiskers and bands are intervals of 95 %"
    return svg(title, panels)


def _roc(models: Sequence[ModelReport]) -> Panel:
    chance = Series([Point(0, 0), Point(1, 1)], _GREY, dashed=True)
    return Panel(
        "ROC: wins found against false alarms",
        Axis("share of the leads not won that are selected", 0, 1, percent=True),
        Axis("share of the wins that are selected", 0, 1, percent=True),
        [chance, *(_curve(model, colour) for model, colour in _coloured(models))],
        legend="bottom",
    )


def _curve(model: ModelReport, colour: str) -> Series:
    through = [Point(each.false_alarms.value, each.recall.value) for each in model.selections]
    area = f"{model.area.value:.3f} ({model.area.low:.3f} to {model.area.high:.3f})"
    return Series([Point(0, 0), *through, Point(1, 1)], colour, f"{model.label}: AUC {area}")


def _lift(models: Sequence[ModelReport]) -> Panel:
    highest = max(decile.lift.high for model in models for decile in model.deciles)
    return Panel(
        "Lift by decile",
        Axis("tenth of the leads, the one with the most points first", 0.5, 10.5, ticks=range(1, _DECILES + 1)),
        Axis("times as many wins as in all leads", 0, max(2.0, highest * 1.05)),
        [
            Series([Point(0.5, 1), Point(10.5, 1)], _GREY, dashed=True),
            *(
                _beside(model, colour, number, len(models))
                for number, (model, colour) in enumerate(_coloured(models))
            ),
        ],
    )


def _beside(model: ModelReport, colour: str, number: int, models: int) -> Series:
    """The lift of one model, a little aside, so that whiskers do not cover each other."""
    shift = 0.0 if models == 1 else 0.5 * (number / (models - 1) - 0.5)
    points = [_point(decile.decile + shift, decile.lift) for decile in model.deciles]
    return Series(points, colour, model.label, line=False, marks=True)


def _selections(model: ModelReport) -> Panel:
    selections = _drawn(model)
    precision = [_point(each.threshold, each.precision) for each in selections]
    recall = [_point(each.threshold, each.recall) for each in selections]
    return Panel(
        f"{model.label}: precision and recall by threshold",
        _scores(model),
        Axis("share", 0, 1, percent=True),
        [
            Series(recall, COLOURS[1], "recall: of all wins, those selected", band=True),
            Series(precision, COLOURS[0], "precision: of those selected, the wins", band=True),
        ],
    )


def _bins(model: ModelReport, wins: Estimate) -> Panel:
    points = [_point(each.mean, each.wins) for each in model.bins]
    axis = _scores(model)
    highest = max([wins.high, *(each.wins.high for each in model.bins)])
    return Panel(
        f"{model.label}: calibration, what a score means",
        axis,
        Axis("share that wins", 0, min(1.0, highest * 1.1), percent=True),
        [
            Series([Point(axis.low, wins.value), Point(axis.high, wins.value)], _GREY, "all leads", dashed=True),
            Series(points, COLOURS[0], "leads with about this score", marks=True),
        ],
        legend="bottom" if _rises(model) else "top",
    )


def _rises(model: ModelReport) -> bool:
    return model.bins[-1].wins.value > model.bins[0].wins.value


def _drawn(model: ModelReport) -> list[Selection]:
    """Selections that are large enough to see: the few highest scores of all would stretch the axis."""
    fewest = model.selections[-1].selected * _SMALLEST_SHARE
    return [each for each in model.selections if each.selected >= fewest]


def _scores(model: ModelReport) -> Axis:
    """Scores from the lowest to the highest that is drawn."""
    levels = [each.threshold for each in _drawn(model)] + [each.mean for each in model.bins]
    low, high = min(levels), max(levels)
    return Axis(model.score, low, high if high > low else low + 1)


def _point(x: float, estimate: Estimate) -> Point:
    return Point(x, estimate.value, estimate.low, estimate.high)


def _coloured(models: Sequence[ModelReport]) -> Iterable[tuple[ModelReport, str]]:
    """Each model with its colour; the ninth begins again with the first."""
    return [(model, COLOURS[number % len(COLOURS)]) for number, model in enumerate(models)]
