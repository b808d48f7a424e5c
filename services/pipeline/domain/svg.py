"""A pipeline as a picture in SVG, by a layout of its own.

Stages stand in a column in the order of the document. What rules do runs on the left, what only people and
CRMs do on the right, dashed: from every stage that a lead can come from (a dot) along a lane of its own to the
stage that it enters (an arrow). Lines cross, but none lies on another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from textwrap import wrap
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.stages import MovePolicy, Stage
from services.pipeline.domain.ways import Ways, hand_ways, rule_ways
from services.pipeline.domain.wording import hours_words, stage_facts, trigger_words

Side = Literal["left", "right"]

_LINE: Final = 17
_PADDING: Final = 10
_GAP: Final = 18
_BOX_WIDTH: Final = 400
_LANE: Final = 16
_STUB: Final = 22
_PIN: Final = 9
_MARGIN: Final = 24
_LONGEST_LINE: Final = 58
_TOP: Final = 58
_COLOURS: Final = {"won": ("#e8f6ec", "#2e7d4f"), "lost": ("#f3f1f1", "#8a7f7f"), None: ("#eef4fb", "#3f6ea3")}
_STYLE: Final = (
    "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;fill:#1d2733}"
    ".title{font-size:17px;font-weight:600}.id{font-size:14px;font-weight:600}.fact{fill:#46535f}"
    ".lane{fill:none;stroke:#3f6ea3;stroke-width:1.4}.hand{stroke:#8a6d3b;stroke-dasharray:5 4}"
    ".dot{fill:#3f6ea3}.handdot{fill:#8a6d3b}"
)
_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8Z" fill="#33475b"/></marker></defs>'
)


@dataclass(slots=True)
class _Box:
    """A stage and its place; `pins` counts the lines that begin or end at each side."""

    stage: Stage
    lines: tuple[str, ...]
    top: int = 0
    height: int = 0
    pins: dict[Side, list[tuple[int, bool]]] = field(default_factory=lambda: {"left": [], "right": []})

    def pin_y(self, side: Side, lane: int, *, is_end: bool) -> float:
        """The height at which a line meets the box: each of a side has its own."""
        pins = sorted(self.pins[side])
        place = pins.index((lane, is_end))
        return self.top + self.height * (place + 1) / (len(pins) + 1)


@dataclass(frozen=True, slots=True)
class _Bus:
    """Ways into one stage, on the lane `number` of a side."""

    ways: Ways
    number: int
    side: Side


def svg(pipeline: Pipeline) -> str:
    """The picture, as a document that stands alone. The same pipeline gives the same bytes."""
    boxes = {stage.id: _Box(stage, _text_of(stage)) for stage in pipeline.stages.order}
    buses = [*_buses(rule_ways(pipeline.stages), "left"), *_buses(hand_ways(pipeline.stages), "right")]
    for bus in buses:
        boxes[bus.ways.target.id].pins[bus.side].append((bus.number, True))
        for origin in bus.ways.origins:
            boxes[origin.id].pins[bus.side].append((bus.number, False))
    bottom = _placed(list(boxes.values()))
    left = _MARGIN + _STUB + _LANE * _lanes(buses, "left")
    footer = [line for text in _notes(pipeline) for line in wrap(text, 96)]
    width = max(left + _BOX_WIDTH + _STUB + _LANE * _lanes(buses, "right") + _MARGIN, _BOX_WIDTH + 2 * _MARGIN + 180)
    height = bottom + _LINE * len(footer) + _MARGIN
    return "\n".join(
        [
            _opening(pipeline, width, height),
            f"<style>{_STYLE}</style>",
            _TIP,
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            _line_of_text(_MARGIN, 34, pipeline.name, "title"),
            *(line for box in boxes.values() for line in _drawn_box(box, left)),
            *(line for bus in buses for line in _drawn_bus(bus, boxes, left)),
            *(_line_of_text(_MARGIN, bottom + _LINE * number, line, "fact") for number, line in enumerate(footer)),
            "</svg>",
            "",
        ]
    )


def _opening(pipeline: Pipeline, width: int, height: int) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    label = quoteattr(f"Pipeline {pipeline.name}")
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={label}>'


def _text_of(stage: Stage) -> tuple[str, ...]:
    rule = trigger_words(stage.enter_when) if stage.enter_when is not None else ""
    parts = [f"when {rule}"] if rule else []
    facts = " · ".join(stage_facts(stage))
    return tuple(line for part in [*parts, facts] if part for line in wrap(part, _LONGEST_LINE))


def _buses(ways: Sequence[Ways], side: Side) -> list[_Bus]:
    """Lanes for ways: the shortest next to the boxes, and two share one only if they are far apart."""
    taken: list[list[range]] = []
    found: list[_Bus] = []
    for item in sorted(
        (item for item in ways if item.origins), key=lambda item: (len(_span(item)), item.target.index)
    ):
        span = _span(item)
        lane = next(number for number in count() if number == len(taken) or not _meets(span, taken[number]))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(span)
        found.append(_Bus(item, lane, side))
    return found


def _span(ways: Ways) -> range:
    places = [ways.target.index, *(origin.index for origin in ways.origins)]
    return range(min(places), max(places) + 1)


def _meets(span: range, others: Sequence[range]) -> bool:
    return any(span.start < other.stop and other.start < span.stop for other in others)


def _lanes(buses: Sequence[_Bus], side: Side) -> int:
    return max((bus.number + 1 for bus in buses if bus.side == side), default=0)


def _placed(boxes: Sequence[_Box]) -> int:
    """Give every box its place; returns where the notes begin."""
    top = _TOP
    for box in boxes:
        pins = max(len(box.pins["left"]), len(box.pins["right"]))
        box.top = top
        box.height = max(2 * _PADDING + _LINE * (1 + len(box.lines)), _PIN * (pins + 1))
        top += box.height + _GAP
    return top + _PADDING


def _drawn_box(box: _Box, left: int) -> list[str]:
    fill, stroke = _COLOURS[box.stage.terminal]
    width = 2.5 if box.stage.initial else 1.2
    text_left = left + 12
    badge = "initial" if box.stage.initial else box.stage.terminal
    place = f'x="{left}" y="{box.top}" width="{_BOX_WIDTH}" height="{box.height}" rx="7"'
    return [
        f'<rect {place} fill="{fill}" stroke="{stroke}" stroke-width="{width}"/>',
        _line_of_text(text_left, box.top + _PADDING + 12, box.stage.id, "id"),
        *([_line_of_text(left + _BOX_WIDTH - 12, box.top + _PADDING + 12, badge, "fact", end=True)] if badge else []),
        *(
            _line_of_text(text_left, box.top + _PADDING + 12 + _LINE * number, line, "fact")
            for number, line in enumerate(box.lines, start=1)
        ),
    ]


def _drawn_bus(bus: _Bus, boxes: dict[str, _Box], left: int) -> list[str]:
    edge = left if bus.side == "left" else left + _BOX_WIDTH
    away = -1 if bus.side == "left" else 1
    lane = edge + away * (_STUB + _LANE * bus.number)
    kind, dot = ("lane", "dot") if bus.side == "left" else ("lane hand", "dot handdot")
    target = boxes[bus.ways.target.id].pin_y(bus.side, bus.number, is_end=True)
    starts = [boxes[origin.id].pin_y(bus.side, bus.number, is_end=False) for origin in bus.ways.origins]
    stubs = "".join(f"M{edge} {_short(start)}H{lane}" for start in starts)
    top, bottom = min([target, *starts]), max([target, *starts])
    return [
        f'<path class="{kind}" d="{stubs}M{lane} {_short(top)}V{_short(bottom)}"/>',
        f'<path class="{kind}" d="M{lane} {_short(target)}H{edge}" marker-end="url(#tip)"/>',
        *(f'<circle class="{dot}" cx="{edge}" cy="{_short(start)}" r="3"/>' for start in starts),
    ]


def _notes(pipeline: Pipeline) -> list[str]:
    notes = ["Left: what rules do. Right, dashed: stages that only people and CRMs move leads to."]
    notes.append(_moves_note(pipeline.stages.moves))
    if pipeline.policy.at_least is not None:
        names = ", ".join(criterion.name for criterion in pipeline.policy.criteria)
        notes.append(f"Qualified: at least {pipeline.policy.at_least} of {names}.")
    if pipeline.hours is not None:
        notes.append(f"Due times count {hours_words(pipeline.hours)}.")
    return notes


def _moves_note(moves: MovePolicy) -> str:
    allowed = {"back": moves.back, "skipping": moves.skip, "leaving an ending": moves.from_terminal}
    said = ", ".join(f"{what} {'allowed' if is_allowed else 'refused'}" for what, is_allowed in allowed.items())
    return f"People and CRMs: {said}."


def _line_of_text(x: float, y: float, text: str, kind: str, *, end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return f'<text class="{kind}" x="{x}" y="{y}"{anchor}>{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
