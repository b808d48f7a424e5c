"""Reports as pictures: horizontal bars with their intervals, as SVG that needs no script, font or network."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from services.pipeline.domain.reports.estimates import Rate
from services.pipeline.domain.reports.forecast import ForecastReport
from services.pipeline.domain.reports.funnel import FunnelReport
from services.pipeline.domain.reports.sources import SourcesReport
from services.pipeline.domain.reports.stalled import StalledReport
from services.pipeline.domain.reports.tables import Report
from services.pipeline.domain.reports.velocity import VelocityReport

_WIDTH: Final = 860
_LABELS: Final = 210
_FIGURES: Final = 190
_ROW: Final = 26
_BAR: Final = 14
_TOP: Final = 64
_MOST_BARS: Final = 60
_LONGEST_LABEL: Final = 30
_INK: Final = "#1f2933"
_FAINT: Final = "#6b7785"
_FILL: Final = "#a9c1dc"
_WHISKER: Final = "#9c3d14"
_LINE: Final = "#dde3e9"
NONE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero to `value`, with an interval where there is one, and the figure beside it."""

    label: str
    value: float
    figure: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share a scale."""

    title: str
    bars: tuple[Bar, ...]


def plot(report: Report) -> str:
    """The report's main numbers as an SVG document; the same report gives the same bytes."""
    title, panels, note = _content(report)
    shown = [Panel(panel.title, panel.bars[:_MOST_BARS]) for panel in panels if panel.bars]
    height = _TOP + sum(34 + _ROW * len(panel.bars) + 14 for panel in shown) + 28
    parts, top = [], _TOP
    for panel in shown:
        parts.append(_panel(panel, top))
        top += 34 + _ROW * len(panel.bars) + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}" role="img" aria-label="{escape(title)}">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="20" y="32" font-size="18" font-weight="600">{escape(title)}</text>\n'
        f'<text x="20" y="52" fill="{_FAINT}">{escape(note)}</text>\n'
        f"{''.join(parts)}</svg>\n"
    )


def _content(report: Report) -> tuple[str, list[Panel], str]:
    intervals = "Whiskers are 95 % intervals."
    match report:
        case FunnelReport():
            note = f"{report.leads:,} leads. Share of who entered that came to any later stage. {intervals}"
            return "Funnel", _funnel(report), note
        case VelocityReport():
            words = report.comparison.words if report.comparison else ""
            return "Velocity", _velocity(report), " ".join(part for part in (_sentence(words), intervals) if part)
        case SourcesReport():
            return "Sources", _sources(report), f"{report.leads:,} leads. Share of leads that were won. {intervals}"
        case StalledReport():
            note = f"{report.overdue} of {report.open} open leads are beyond due."
            return "Stalled leads", _stalled(report), note
        case ForecastReport():
            return "Forecast", _forecast(report), f"Amounts in {report.currency or 'no stated currency'}. {intervals}"


def _funnel(report: FunnelReport) -> list[Panel]:
    panels = []
    for group in report.groups:
        named = [str(part) for part in (group.cohort, group.group if report.by else None) if part is not None]
        bars = tuple(
            _rate_bar(stage.stage, stage.to_later) for stage in group.stages if stage.entered and stage.to_later
        )
        unnamed = NONE if report.by else "All leads"
        panels.append(Panel(f"{' · '.join(named) or unnamed}: {group.leads:,} leads", bars))
    return panels[:12]


def _velocity(report: VelocityReport) -> list[Panel]:
    rates = tuple(_rate_bar(group.group or NONE, group.win_rate) for group in report.groups if group.win_rate.of)
    speeds = tuple(
        Bar(group.group or NONE, group.per_day, f"{group.per_day:,.0f} per day, {group.open} open")
        for group in report.groups
        if group.per_day is not None
    )
    return [Panel("Win rate of closed deals", rates), Panel("Velocity", speeds)]


def _sources(report: SourcesReport) -> list[Panel]:
    return [
        Panel(
            f"By {part.touch} touch: {_sentence(part.won.words)}" if part.touch else _sentence(part.won.words),
            tuple(_rate_bar(group.group or NONE, group.won) for group in part.groups),
        )
        for part in report.touches
    ]


def _stalled(report: StalledReport) -> list[Panel]:
    shares = tuple(_rate_bar(item.stage, item.overdue) for item in report.stages)
    days = tuple(Bar(item.stage, item.overdue_days, f"{item.overdue_days:,.0f} days") for item in report.stages)
    return [Panel("Share of open leads beyond due", shares), Panel("Days beyond due, together", days)]


def _forecast(report: ForecastReport) -> list[Panel]:
    def bars(kind: str) -> tuple[Bar, ...]:
        found = []
        for item in report.groups:
            name = " · ".join(part for part in (item.month.strftime("%Y-%m") if item.month else "undated",) if part)
            label = f"{name} · {item.group or NONE}" if report.by else name
            sum_ = item.weighted if kind == "weighted" else item.historic
            found.append(Bar(label, sum_.expected, f"{sum_.expected:,.0f}", sum_.low, sum_.high))
        return tuple(found)

    return [
        Panel("Weighted by the probability of the stage", bars("weighted")),
        Panel("Weighted by the win rate of the stage so far", bars("historic")),
    ]


def _rate_bar(label: str, rate: Rate) -> Bar:
    if rate.rate is None:
        return Bar(label, 0.0, "no leads")
    return Bar(label, rate.rate, f"{rate.rate:.1%} of {rate.of:,}", rate.low, rate.high)


def _panel(panel: Panel, top: int) -> str:
    reach = max([max(bar.value, bar.high or 0.0) for bar in panel.bars] + [1e-9])
    scale = (_WIDTH - _LABELS - _FIGURES - 20) / reach
    rows = (_bar(bar, top + 34 + _ROW * place, scale) for place, bar in enumerate(panel.bars))
    return (
        f'<text x="20" y="{top + 18}" font-weight="600">{escape(_cut(panel.title, 110))}</text>\n'
        f'<line x1="{_LABELS}" x2="{_LABELS}" y1="{top + 28}" y2="{top + 34 + _ROW * len(panel.bars)}" '
        f'stroke="{_LINE}"/>\n{"".join(rows)}'
    )


def _bar(bar: Bar, top: int, scale: float) -> str:
    middle, base = top + _BAR // 2 + 2, top + _BAR
    length = max(0.0, bar.value) * scale
    parts = [
        f'<text x="{_LABELS - 10}" y="{base}" text-anchor="end">{escape(_cut(bar.label, _LONGEST_LABEL))}</text>\n',
        f'<rect x="{_LABELS}" y="{top + 2}" width="{length:.1f}" height="{_BAR}" fill="{_FILL}" rx="2"/>\n',
    ]
    end = length
    if bar.low is not None and bar.high is not None:
        low, high = max(0.0, bar.low) * scale, max(0.0, bar.high) * scale
        end = max(length, high)
        parts.append(_whisker(_LABELS + low, _LABELS + high, middle))
    parts.append(f'<text x="{_LABELS + end + 10:.1f}" y="{base}" fill="{_FAINT}">{escape(bar.figure)}</text>\n')
    return "".join(parts)


def _whisker(low: float, high: float, y: int) -> str:
    ends: Sequence[float] = (low, high)
    return (
        f'<path d="M{low:.1f} {y}H{high:.1f}{"".join(f"M{x:.1f} {y - 4}v8" for x in ends)}" stroke="{_WHISKER}" '
        'stroke-width="1.5" fill="none"/>\n'
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
