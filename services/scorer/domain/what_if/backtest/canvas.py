"""Plots as SVG text, without any library: axes, lines, bands and points with whiskers, side by side.

Text is black on white and colours keep apart for the colour-blind (Okabe and Ito, 2008).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10
from typing import Final, NamedTuple

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")

_WIDTH: Final = 460
_HEIGHT: Final = 330
_LEFT: Final = 58
_RIGHT: Final = 14
_TOP: Final = 34
_BOTTOM: Final = 46
_LEGEND_LINE: Final = 15


class Point(NamedTuple):
    """A place in the units of the axes; `low` and `high` are the ends of its whisker or band."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows, from where to where, and whether its numbers are read as per cent."""

    title: str
    low: float
    high: float
    percent: bool = False
    ticks: Sequence[float] | None = None

    def marks(self) -> list[float]:
        """Where numbers stand: at multiples of 1, 2 or 5 of a power of ten, four to eight of them."""
        if self.ticks is not None:
            return list(self.ticks)
        step = _step(self.high - self.low)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def text(self, value: float) -> str:
        """A number as it stands at the axis."""
        return f"{round(value * 100, 6):g} %" if self.percent else f"{round(value, 6):g}"


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one colour: a `line` through them (solid or dashed), a `band` around it, or marks with whiskers."""

    points: Sequence[Point]
    colour: str
    label: str = ""
    line: bool = True
    dashed: bool = False
    band: bool = False
    marks: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot. The legend stands in the corner that `legend` names: `top` or `bottom`, always on the right."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series] = field(default_factory=tuple)
    legend: str = "top"


def svg(title: str, panels: Sequence[Panel]) -> str:
    """A document with the panels in two columns."""
    rows = ceil(len(panels) / 2)
    width, height = 2 * _WIDTH, rows * _HEIGHT + 34
    body: list[str] = []
    for number, panel in enumerate(panels):
        left, top = number % 2 * _WIDTH, number // 2 * _HEIGHT + 34
        body += [f'<g transform="translate({left},{top})">', *_panel(panel), "</g>"]
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="11"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(_LEFT, 22, title, size=15, weight="bold"),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _step(span: float) -> float:
    power = 10.0 ** floor(log10(span / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 8)


def _panel(panel: Panel) -> Iterable[str]:
    yield _text(_LEFT, 20, panel.title, size=13, weight="bold")
    yield from _axes(panel)
    for series in panel.series:
        yield from _series(panel, series)
    yield from _legend(panel)


def _axes(panel: Panel) -> Iterable[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in panel.y.marks():
        y = _y(panel, value)
        yield f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>'
        yield _text(_LEFT - 6, y + 4, panel.y.text(value), anchor="end")
    for value in panel.x.marks():
        x = _x(panel, value)
        yield f'<path d="M{x:.1f} {bottom}v4" stroke="#555"/>'
        yield _text(x, bottom + 17, panel.x.text(value), anchor="middle")
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#555"/>'
    yield _text((_LEFT + right) / 2, bottom + 35, panel.x.title, anchor="middle")
    middle = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 13 {middle:.1f})"'
    yield _text(13, middle, panel.y.title, anchor="middle", more=turned)


def _series(panel: Panel, series: Series) -> Iterable[str]:
    places = [(_x(panel, point.x), _y(panel, point.y)) for point in series.points]
    if series.band:
        upper = [(point.x, point.high if point.high is not None else point.y) for point in series.points]
        lower = [(point.x, point.low if point.low is not None else point.y) for point in reversed(series.points)]
        outline = [(_x(panel, x), _y(panel, y)) for x, y in upper + lower]
        yield f'<path d="{_path(outline)}Z" fill="{series.colour}" fill-opacity="0.15"/>'
    if series.line and places:
        dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
        yield f'<path d="{_path(places)}" fill="none" stroke="{series.colour}" stroke-width="1.6"{dashes}/>'
    if series.marks:
        for point, (x, y) in zip(series.points, places, strict=True):
            if point.low is not None and point.high is not None:
                ends = f"M{x:.1f} {_y(panel, point.low):.1f}V{_y(panel, point.high):.1f}"
                yield f'<path d="{ends}" stroke="{series.colour}" stroke-width="1.2"/>'
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{series.colour}"/>'


def _legend(panel: Panel) -> Iterable[str]:
    named = [series for series in panel.series if series.label]
    if not named:
        return
    below = _HEIGHT - _BOTTOM - 8 - _LEGEND_LINE * (len(named) - 1)
    first = _TOP + 12 if panel.legend == "top" else below
    for number, series in enumerate(named):
        y = first + _LEGEND_LINE * number
        dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
        end = _WIDTH - _RIGHT - 4
        yield f'<path d="M{end - 22} {y - 4}h22" stroke="{series.colour}" stroke-width="2.4"{dashes}/>'
        halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
        yield _text(end - 28, y, series.label, anchor="end", more=halo)


def _x(panel: Panel, value: float) -> float:
    return _LEFT + _part(panel.x, value) * (_WIDTH - _LEFT - _RIGHT)


def _y(panel: Panel, value: float) -> float:
    return _HEIGHT - _BOTTOM - _part(panel.y, value) * (_HEIGHT - _TOP - _BOTTOM)


def _part(axis: Axis, value: float) -> float:
    """How far along the axis; what lies beyond its ends stands at the end."""
    return min(1.0, max(0.0, (value - axis.low) / (axis.high - axis.low)))


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _text(
    x: float, y: float, text: str, *, size: int = 11, weight: str = "normal", anchor: str = "start", more: str = ""
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} {more}>{escape(text)}</text>'.replace(" >", ">")
