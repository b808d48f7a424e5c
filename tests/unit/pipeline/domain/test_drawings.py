"""A pipeline as Mermaid and as SVG: everything of the document is in it, and nothing lies on anything else."""

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.pipeline.domain.mermaid import mermaid
from services.pipeline.domain.svg import svg
from services.pipeline.domain.ways import hand_ways, rule_ways
from shared.documents.yaml_text import read_yaml
from shared.events.json import Json
from tests.support.pipeline import a_pipeline
from tests.unit.pipeline.domain.test_no_side_door import documents

EXAMPLES = sorted((Path(__file__).parents[4] / "deploy" / "examples" / "pipelines").glob("*.yaml"))
_SVG = "{http://www.w3.org/2000/svg}"

# The statements of a state diagram that we use: https://mermaid.js.org/syntax/stateDiagram.html
_STATEMENT = re.compile(
    r'state "[^"\n;#]+" as \w+|\w+ : [^":;#\n]+|(\[\*\]|\w+) --> (\[\*\]|\w+)( : [^":;#\n]+)?', re.ASCII
)


def statements(pipeline: Pipeline) -> list[str]:
    title, _, body = mermaid(pipeline).removeprefix("---\n").partition("---\nstateDiagram-v2\n")
    assert title == f"title: {pipeline.name}\n"
    return [line.strip() for line in body.splitlines()]


def test_mermaid_names_every_stage_and_way_once() -> None:
    lines = statements(a_pipeline())

    assert lines[0] == 'state "new" as stage0'
    assert "[*] --> stage0" in lines
    assert "stage2 --> stage3 : qualified" in lines
    assert "stage0 --> stage2 : inside mql or event demo_requested" in lines
    assert 'state "any of new, engaged, mql, sql" as to_stage4' in lines
    assert "to_stage4 --> stage4 : CRM or person" in lines
    assert "stage6 --> [*]" in lines
    assert len(set(lines)) == len(lines)


AWKWARD: list[Json] = [
    {"id": "end", "initial": True, "known_as": ['say "hi"; #1', "a: b", "<&>"]},
    {"id": "state.1-x", "enter_when": {"event": "note"}},
]


def test_mermaid_is_made_of_its_own_statements_whatever_the_names() -> None:
    for line in statements(a_pipeline(stages=AWKWARD, qualification=None)):
        assert _STATEMENT.fullmatch(line), line


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_drawn(example: Path) -> None:
    pipeline = parse_pipeline(read_yaml(example.read_text(encoding="utf-8")))

    assert all(_STATEMENT.fullmatch(line) for line in statements(pipeline))
    assert_is_sound(pipeline)


def test_names_are_text_in_the_picture_and_never_markup() -> None:
    pipeline = a_pipeline(stages=AWKWARD, qualification=None)

    texts = [element.text or "" for element in ET.fromstring(svg(pipeline)).iter(f"{_SVG}text")]

    assert any('say "hi"; #1, a: b, <&>' in text for text in texts)


@given(documents())
@settings(max_examples=60)
def test_a_picture_of_any_document_is_sound(document: dict[str, Json]) -> None:
    assert_is_sound(parse_pipeline(document))


def assert_is_sound(pipeline: Pipeline) -> None:
    """Boxes and lanes do not touch, every way ends in an arrow and begins in a dot, all of it within the picture."""
    text = svg(pipeline)
    assert text == svg(pipeline)
    root = ET.fromstring(text)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = [element.attrib for element in root.iter(f"{_SVG}rect") if "rx" in element.attrib]
    spans = sorted((float(box["y"]), float(box["y"]) + float(box["height"])) for box in boxes)
    ways = [item for item in (*rule_ways(pipeline.stages), *hand_ways(pipeline.stages)) if item.origins]
    arrows = [element for element in root.iter(f"{_SVG}path") if "marker-end" in element.attrib]
    dots = [(dot.attrib["cx"], dot.attrib["cy"]) for dot in root.iter(f"{_SVG}circle")]
    assert len(spans) == len(pipeline.stages.order)
    assert all(upper[1] < lower[0] for upper, lower in pairwise(spans))
    assert len(arrows) == len(ways)
    assert len(dots) == len(set(dots)) == sum(len(item.origins) for item in ways)
    assert not any(_overlap(one, other) for one, other in combinations(_lanes(root), 2))
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in dots)
    assert spans[-1][1] < height


def _lanes(root: ET.Element) -> list[tuple[float, float, float]]:
    """(x, from, to) of the upright lines."""
    paths = [element.attrib["d"] for element in root.iter(f"{_SVG}path") if "marker-end" not in element.attrib]
    found = [re.search(r"M([\d.]+) ([\d.]+)V([\d.]+)$", path) for path in paths]
    return [(float(line[1]), float(line[2]), float(line[3])) for line in found if line]


def _overlap(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return one[0] == other[0] and one[1] <= other[2] and other[1] <= one[2]
