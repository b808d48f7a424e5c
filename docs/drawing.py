"""The pictures of the documentation, drawn from the code where the code knows what they show.

They have colours for light and for dark pages, and are legible on a phone: 640 units wide, text of 15.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.events.text import read_events
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import combine_all
from shared.documents.yaml_text import read_yaml
from shared.events.topics import TOPICS

_EXAMPLES = Path(__file__).resolve().parent.parent / "deploy" / "examples"
_WIDTH = 640
_STYLE = """\
text { fill: #1f2933; font: 15px system-ui, sans-serif; }
.small { font-size: 13px; fill: #52606d; }
.strong { font-weight: 600; }
.paper { fill: #ffffff; }
.box { fill: #eef3f8; stroke: #7b93ab; }
.service { fill: #d8e7f5; stroke: #33658f; }
.topic { fill: #fdf1d8; stroke: #b3873a; }
.bound { fill: none; stroke: #33658f; stroke-dasharray: 5 4; }
.line { fill: none; stroke: #52606d; stroke-width: 1.5; }
.faint { stroke: #d3dbe3; }
.curve { fill: none; stroke: #1d6fb8; stroke-width: 2.5; stroke-linejoin: round; }
.dot, .arrow { fill: #52606d; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ee; }
  .small { fill: #a5b2bf; }
  .paper { fill: #16191d; }
  .box { fill: #242b33; stroke: #6d8094; }
  .service { fill: #1d3850; stroke: #6ea6d6; }
  .topic { fill: #3d3218; stroke: #cfa75a; }
  .bound { stroke: #6ea6d6; }
  .line { stroke: #a5b2bf; }
  .faint { stroke: #37414c; }
  .curve { stroke: #5fb0f5; }
  .dot, .arrow { fill: #a5b2bf; }
}"""
_ARROW = (
    '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="arrow" d="M0 0L8 4L0 8z"/></marker>'
)


def pictures() -> dict[str, str]:
    """Every picture by its path from the root."""
    drawn = {"architecture": architecture(), "event": event(), "topics": topics(), "score": score()}
    return {f"docs/pictures/{name}.svg": text for name, text in drawn.items()}


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle; the first line is its name, the others say what it does."""

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]
    kind: str = "box"

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


def architecture() -> str:
    """Who talks to whom, from what leads do to who hears of it."""
    senders = [
        Box(16, 16, 152, 56, ("18 platforms", "signed webhooks")),
        Box(184, 16, 152, 56, ("Your own code", "events by HTTP")),
        Box(352, 16, 152, 56, ("Files", "leadflow import")),
    ]
    services = [
        Box(16, 112, 488, 56, ("ingest", "verified, checked, durable"), "service"),
        Box(16, 258, 488, 56, ("scorer", "whose it is, and what it is worth"), "service"),
        Box(16, 404, 488, 56, ("pipeline", "what follows from it"), "service"),
    ]
    logs = [
        Box(120, 198, 280, 30, ("engagement-events",), "topic"),
        Box(120, 344, 280, 30, ("lead-scores",), "topic"),
        Box(120, 490, 280, 30, ("lead-thresholds, lead-stages",), "topic"),
    ]
    hearers = [
        Box(16, 560, 152, 56, ("CRMs, servers", "signed webhooks")),
        Box(184, 560, 152, 56, ("Consumers", "Kafka, feed, stream")),
        Box(352, 560, 152, 56, ("People", "API and reports")),
    ]
    store = Box(520, 112, 112, 348, ("PostgreSQL", "", "a schema for", "each service"))
    down = [line((a.middle, a.bottom), (b.middle, b.y)) for a, b in _ways(senders, services, logs, hearers)]
    kept = [line((504, one.y + 28), (520, one.y + 28)) for one in services]
    boxes = [box(one) for one in (*senders, *services, *logs, *hearers, store)]
    words = "From platforms, code and files through ingest, scorer and pipeline to CRMs, consumers and people"
    return svg(632, words, [*down, *kept, *boxes])


def _ways(
    senders: Sequence[Box], services: Sequence[Box], logs: Sequence[Box], hearers: Sequence[Box]
) -> Iterator[tuple[Box, Box]]:
    yield from ((one, Box(one.middle, services[0].y, 0, 0, ())) for one in senders)
    yield from zip(services, logs, strict=True)
    yield from zip(logs[:2], services[1:], strict=True)
    yield from ((logs[2], one) for one in hearers)


_STEPS = (
    ("A request comes in", "its signature is checked over the raw bytes, before anything reads them"),
    ("It becomes events", "each element is accepted, ignored, parked or refused by itself"),
    ("The log has it", "only now the sender gets its 2xx; else 503, and it comes again"),
    ("Seen before?", "source and id are known for ever: a repetition counts for nothing"),
    ("Whose is it?", "by address, ids and cookies; two leads become one where they meet"),
    ("What is it worth?", "the lead's state is combined with it; late and disordered is the same"),
    ("What changed goes into the outbox", "and from there to the log, with the ledger and the forecast"),
    ("What follows from it", "thresholds, evidence, rules, stages and due times of the lead"),
    ("Who has to hear of it", "a delivery for each subscriber, a place in the feed"),
    ("It is told", "signed, in order for each lead, again and again for three days"),
)
_BOUNDS = ((0, 2, "ingest"), (3, 6, "scorer: one transaction"), (7, 8, "pipeline: one transaction"))


def event() -> str:
    """The way of one event, with what is done in one transaction framed."""
    tops = [20 + 64 * number + 26 * sum(number > last for _, last, _ in _BOUNDS) for number in range(len(_STEPS))]
    frames = [_frame(tops[first], tops[last], name) for first, last, name in _BOUNDS]
    steps = [_step(number + 1, top + 24, *_STEPS[number]) for number, top in enumerate(tops)]
    spine = line((56, tops[0] + 24), (56, tops[-1] + 24))
    words = "Ten steps of an event, from the request to the delivery, with the transactions that they are in"
    return svg(tops[-1] + 76, words, [*frames, spine, *steps])


def _frame(top: float, last_top: float, name: str) -> str:
    shape = f'<rect class="bound" x="16" y="{top - 6}" width="608" height="{last_top - top + 66}" rx="8"/>'
    return shape + label(612, top + 10, name, "small strong", "end")


def _step(number: int, y: float, name: str, words: str) -> str:
    circle = f'<circle class="service" cx="56" cy="{y}" r="15"/>' + label(56, y + 5, str(number), "strong")
    return circle + label(88, y, name, "strong", "start") + label(88, y + 19, words, "small", "start")


def topics() -> str:
    """Which service writes which topic, and who reads it, as the code declares it."""
    rows = [(who, topic.name, reader) for topic in TOPICS for who in topic.producers for reader in topic.consumers]
    drawn: list[str] = []
    for number, (writer, name, reader) in enumerate(rows):
        y = 48 + 52 * number
        drawn += [
            label(320, 28, "topic", "small"),
            line((150, y + 17), (204, y + 17)),
            line((436, y + 17), (490, y + 17)),
            box(Box(16, y, 134, 34, (writer,), "service")),
            box(Box(204, y, 232, 34, (name,), "topic")),
            box(Box(490, y, 134, 34, (reader,), "service" if reader != "subscribers" else "box")),
        ]
    heads = [label(83, 28, "written by", "small"), label(557, 28, "read by", "small")]
    return svg(48 + 52 * len(rows), "Topics, who writes them and who reads them", [*heads, *dict.fromkeys(drawn)])


_BEGIN, _DAYS = datetime(2025, 12, 22, tzinfo=UTC), 126
_LEFT, _TOP, _HEIGHT, _RIGHT = 48.0, 44.0, 250.0, 564.0
_LEVELS = ((65, "hot"), (40, "warm"))
_NAMES = {
    "form_submitted": "form",
    "webinar_attended": "webinar",
    "demo_requested": "demo",
    "meeting_held": "meeting",
}


def score() -> str:
    """The total of the example's lead over half a winter, as the example's model has it."""
    model = parse_model(read_yaml((_EXAMPLES / "model.yaml").read_text(encoding="utf-8")))
    events = list(read_events((_EXAMPLES / "dana.ndjson").read_bytes()))
    state = combine_all(state_of(model, one) for one in events)
    moments = sorted({_BEGIN + timedelta(hours=6 * number) for number in range(_DAYS * 4 + 1)})
    moments = sorted({*moments, *(one.occurred_at - timedelta(seconds=1) for one in events)})
    moments = sorted({*moments, *(one.occurred_at for one in events)})
    curve = [(moment, standing_of(model, state, moment).scores["total"]) for moment in moments]
    points = " ".join(f"{_x(moment):.1f},{_y(value):.1f}" for moment, value in curve)
    values = dict(curve)
    told: dict[str, tuple[datetime, float]] = {}
    for one in events:
        if one.type in _NAMES:
            told.setdefault(_NAMES[one.type], (one.occurred_at, values[one.occurred_at]))
    dots = [_dot(moment, value, name) for name, (moment, value) in told.items()]
    ends_at = next(one.occurred_at for one in events if one.type == "webinar_attended") + timedelta(days=90)
    dots.append(label(_x(ends_at) + 6, _y(48), "webinar ends", "small", "middle"))
    drawn = [label(16, 24, "total of Dana Weber, who goes silent in February", "strong", "start"), *_axes()]
    words = "A score that rises with each event, crosses warm and hot, and decays once nothing more happens"
    return svg(350, words, [*drawn, f'<polyline class="curve" points="{points}"/>', *dots])


def _axes() -> Iterator[str]:
    for value in (0, 20, 40, 60, 80):
        yield label(_LEFT - 8, _y(value) + 5, str(value), "small", "end")
        yield f'<path class="line faint" d="M{_LEFT} {_y(value):.1f}H{_RIGHT}"/>'
    for value, name in _LEVELS:
        yield f'<path class="bound" d="M{_LEFT} {_y(value):.1f}H{_RIGHT}"/>'
        yield label(_RIGHT + 6, _y(value) + 5, f"{name}: {value}", "small", "start")
    for number in range(0, _DAYS, 28):
        moment = _BEGIN + timedelta(days=number)
        yield label(_x(moment), _TOP + _HEIGHT + 22, f"{moment:%b} {moment.day}", "small")


def _dot(moment: datetime, value: float, name: str) -> str:
    x, y = _x(moment), _y(value)
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' + label(x - 8, y - 6, name, "small", "end")


def _x(moment: datetime) -> float:
    return _LEFT + (_RIGHT - _LEFT) * ((moment - _BEGIN) / timedelta(days=_DAYS))


def _y(value: float) -> float:
    return _TOP + _HEIGHT * (1 - value / 80)


def svg(height: float, words: str, parts: Iterable[str]) -> str:
    """A picture of the common width. `words` are for those who do not see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" '
        f'height="{height:g}" role="img" aria-label="{escape(words)}">'
    )
    paper = f'<rect class="paper" width="{_WIDTH}" height="{height:g}" rx="8"/>'
    return "\n".join([head, f"<style>\n{_STYLE}\n</style>", f"<defs>{_ARROW}</defs>", paper, *parts, "</svg>", ""])


def box(one: Box) -> str:
    shape = (
        f'<rect class="{one.kind}" x="{one.x:g}" y="{one.y:g}" width="{one.width:g}" height="{one.height:g}" rx="6"/>'
    )
    first = one.y + one.height / 2 + 5 - 10 * (len(one.lines) - 1)
    texts = [
        label(one.middle, first + 20 * number, words, "strong" if number == 0 else "small")
        for number, words in enumerate(one.lines)
    ]
    return shape + "".join(texts)


def label(x: float, y: float, words: str, kind: str = "small", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}">{escape(words)}</text>'


def line(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    return f'<path class="line" d="M{x:g} {y:g}L{to_x:g} {to_y:g}" marker-end="url(#arrow)"/>'
