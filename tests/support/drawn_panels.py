"""Draws dashboards from what Prometheus answered, so that a person can read them where no Grafana runs.

One SVG per dashboard, laid out as Grafana lays it out; a page holds them all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from typing import Any

Point = tuple[float, float]

_COLUMN, _LINE, _GAP = 60, 30, 8
_COLORS = (
    "#3274d9",
    "#e0752d",
    "#299c46",
    "#a352cc",
    "#c4162a",
    "#b5890b",
    "#1f9aa8",
    "#8f5b3e",
    "#6f7480",
    "#d05ba8",
)
_STATE = {"green": "#299c46", "orange": "#e0752d", "red": "#c4162a"}
_LEGEND_ROWS = 2
_CHARACTER = 6.0
_TICKS = 3
_HEADING = 'font-weight="bold" fill="#1f2430"'


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: its name, and its values by time in seconds."""

    name: str
    points: Sequence[Point]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class _Box:
    """Where in a panel lines are drawn, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """A box, and the times and values that fill it."""

    box: _Box
    first: float
    last: float
    low: float
    high: float

    def x(self, moment: float) -> float:
        share = (moment - self.first) / ((self.last - self.first) or 1.0)
        return self.box.left + (self.box.right - self.box.left) * share

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.box.bottom - (self.box.bottom - self.box.top) * share

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{self.x(moment):.1f},{self.y(value):.1f}" for moment, value in points)


def page(boards: Mapping[str, str]) -> str:
    """An HTML page with drawn dashboards by their titles."""
    sections = "\n".join(f"<h1>{escape(title)}</h1>\n{drawn}" for title, drawn in boards.items())
    style = "body{background:#f4f5f5;font-family:sans-serif;margin:16px}h1{font-size:18px;margin:24px 0 8px}"
    return f"<!doctype html><meta charset=utf-8><title>leadflow</title><style>{style}</style>\n{sections}\n"


def drawn(board: Mapping[str, Any], found: Mapping[int, Sequence[Series]]) -> str:
    """A dashboard as an SVG; `found` are the series of each panel by its id."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) * _LINE
    parts = [_placed(panel, found.get(panel["id"], ())) for panel in board["panels"]]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{24 * _COLUMN}" height="{height}" '
        f'viewBox="0 0 {24 * _COLUMN} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#f4f5f5"/>\n' + "\n".join(parts) + "\n</svg>"
    )


def _placed(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    place = panel["gridPos"]
    x, y = place["x"] * _COLUMN, place["y"] * _LINE
    if panel["type"] == "row":
        return f'<text x="{x + _GAP}" y="{y + 21}" {_HEADING} font-size="14">{escape(panel["title"])}</text>'
    width, height = place["w"] * _COLUMN - _GAP, place["h"] * _LINE - _GAP
    body = {"stat": _stat, "bargauge": _bars, "timeseries": _lines}[panel["type"]]
    content = (
        body(panel, series, width, height) if series else _text(width / 2, height / 2 + 8, "no data", anchor="middle")
    )
    title = _shortened(panel["title"], width - 20, 7)
    return (
        f'<g transform="translate({x + _GAP / 2},{y + _GAP / 2})"><title>{escape(panel["description"])}</title>'
        f'<rect width="{width}" height="{height}" rx="3" fill="#ffffff" stroke="#dcdee0"/>'
        f'<text x="10" y="18" {_HEADING} font-size="12">{escape(title)}</text>{content}</g>'
    )


def _stat(panel: Mapping[str, Any], series: Sequence[Series], width: float, height: float) -> str:
    one = series[0]
    frame = _frame(one.points, [value for _, value in one.points], _Box(10, height - 26, width - 10, height - 6))
    color = _color_of(panel, one.last)
    return (
        f'<polyline points="{frame.path(one.points)}" fill="none" stroke="{color}" opacity="0.35"/>'
        f'<text x="{width / 2}" y="{height / 2 + 16}" text-anchor="middle" font-size="26" fill="{color}">'
        f"{said(one.last, panel['fieldConfig']['defaults']['unit'])}</text>"
    )


def _bars(panel: Mapping[str, Any], series: Sequence[Series], width: float, height: float) -> str:
    room = int((height - 34) // 20)
    shown = sorted(series, key=lambda each: -each.last)[:room]
    most = max((each.last for each in shown), default=0) or 1
    unit, names = panel["fieldConfig"]["defaults"]["unit"], width * 0.4
    parts = []
    for place, each in enumerate(shown):
        y = 32 + place * 20
        length = max(1.0, (width - names - 70) * each.last / most)
        parts.append(_text(10, y + 11, _shortened(each.name, names - 14, _CHARACTER)))
        parts.append(
            f'<rect x="{names}" y="{y}" width="{length:.1f}" height="14" fill="{_COLORS[0]}" opacity="0.75"/>'
        )
        parts.append(_text(names + length + 5, y + 11, said(each.last, unit)))
    return "".join(parts)


def _lines(panel: Mapping[str, Any], series: Sequence[Series], width: float, height: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    lines = _stacked(series) if stacked else [each.points for each in series]
    legend, legend_height = _legend(series, width)
    points = [point for line in lines for point in line]
    values = [value for _, value in points] + ([defaults["min"]] if "min" in defaults else [])
    moments = sorted({moment for moment, _ in points})
    step = min((later - earlier for earlier, later in pairwise(moments)), default=0.0)
    frame = _frame(points, values, _Box(58, 30, width - 10, height - 24 - legend_height))
    parts = [_axes(frame, defaults["unit"]), *_limits(frame, defaults["thresholds"]["steps"])]
    for number in reversed(range(len(lines))):
        color, path = _COLORS[number % len(_COLORS)], frame.path(lines[number])
        if stacked and len(lines[number]) > 1:
            area = f"{frame.x(lines[number][0][0]):.1f},{frame.box.bottom} {path} "
            area += f"{frame.x(lines[number][-1][0]):.1f},{frame.box.bottom}"
            parts.append(f'<polygon points="{area}" fill="#ffffff"/>')
            parts.append(f'<polygon points="{area}" fill="{color}" opacity="0.3"/>')
        parts += [
            f'<polyline points="{frame.path(piece)}" fill="none" stroke="{color}" stroke-width="1.4"/>'
            for piece in _pieces(lines[number], step)
        ]
    return "".join(parts) + f'<g transform="translate(0,{height - legend_height - 4})">{legend}</g>'


def _pieces(line: Sequence[Point], step_seconds: float) -> list[list[Point]]:
    """A line without a bridge over moments that have no value."""
    pieces: list[list[Point]] = [[]]
    for point in line:
        if pieces[-1] and point[0] - pieces[-1][-1][0] > 1.5 * step_seconds:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _limits(frame: _Frame, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a value becomes worrying, if that is within the picture."""
    shown = [step for step in steps if step["value"] is not None and frame.low <= step["value"] <= frame.high]
    return [
        f'<line x1="{frame.box.left}" x2="{frame.box.right}" y1="{frame.y(step["value"]):.1f}" '
        f'y2="{frame.y(step["value"]):.1f}" stroke="{_STATE[step["color"]]}" stroke-dasharray="4 3"/>'
        for step in shown
    ]


def _stacked(series: Sequence[Series]) -> list[list[Point]]:
    below: dict[float, float] = {}
    lines = []
    for each in series:
        line = [(moment, below.get(moment, 0.0) + value) for moment, value in each.points]
        below |= dict(line)
        lines.append(line)
    return lines


def _frame(points: Sequence[Point], values: Sequence[float], box: _Box) -> _Frame:
    moments, low, high = [moment for moment, _ in points], min(values), max(values)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    return _Frame(box, min(moments), max(moments), low, high)


def _axes(frame: _Frame, unit: str) -> str:
    box, parts = frame.box, []
    for part in range(_TICKS + 1):
        value = frame.low + (frame.high - frame.low) * part / _TICKS
        y = frame.y(value)
        parts.append(f'<line x1="{box.left}" x2="{box.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eceeef"/>')
        parts.append(_text(box.left - 5, y + 4, said(value, unit), anchor="end"))
    for moment, anchor in ((frame.first, "start"), (frame.last, "end")):
        clock = datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")
        parts.append(_text(frame.x(moment), box.bottom + 14, clock, anchor=anchor))
    return "".join(parts)


def _legend(series: Sequence[Series], width: float) -> tuple[str, float]:
    """Names with their colours, on two lines at most; what does not fit is counted."""
    parts, x, row = [], 10.0, 0
    for number, each in enumerate(series):
        name = _shortened(each.name, width - 40, _CHARACTER)
        length = 22 + len(name) * _CHARACTER
        if x + length > width - 70 and x > 10:
            x, row = 10.0, row + 1
        if row == _LEGEND_ROWS:
            parts.append(_text(width - 62, 11 + 14 * (row - 1), f"+{len(series) - number} more"))
            break
        y = 11 + 14 * row
        color = _COLORS[number % len(_COLORS)]
        parts.append(f'<rect x="{x}" y="{y - 7}" width="10" height="3" fill="{color}"/>')
        parts.append(_text(x + 14, y, name))
        x += length
    return "".join(parts), 14.0 * min(row + 1, _LEGEND_ROWS)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#52565e">{escape(text)}</text>'


def _shortened(text: str, width: float, character: float) -> str:
    room = max(4, int(width / character))
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _color_of(panel: Mapping[str, Any], value: float) -> str:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return _STATE[reached[-1]]


def said(value: float, unit: str) -> str:
    """A value in its unit, as short as a person wants it."""
    if math.isnan(value):
        return "-"
    match unit:
        case "percentunit":
            return f"{value:.3g}" if abs(value) < 0.0005 and value else f"{value * 100:.3g} %"
        case "s":
            return _seconds(value)
        case "bytes":
            return _sized(value, 1024, ("B", "KiB", "MiB", "GiB"))
        case "eps" | "ops" | "reqps":
            return f"{_sized(value, 1000, ('', 'k', 'M'))}/s".replace(" /s", "/s")
        case _:
            return _sized(value, 1000, ("", "k", "M", "G")).strip()


def _seconds(value: float) -> str:
    for limit, divisor, name in (
        (1e-3, 1e-6, "µs"),
        (1, 1e-3, "ms"),
        (120, 1, "s"),
        (7200, 60, "min"),
        (172_800, 3600, "h"),
    ):
        if abs(value) < limit:
            return "0 s" if value == 0 else f"{value / divisor:.3g} {name}"
    return f"{value / 86_400:.3g} d"


def _sized(value: float, base: int, names: Sequence[str]) -> str:
    size = value
    for name in names[:-1]:
        if abs(size) < base:
            return f"{size:.3g} {name}"
        size /= base
    return f"{size:.3g} {names[-1]}"
