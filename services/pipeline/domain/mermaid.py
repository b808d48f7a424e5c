"""A pipeline as a Mermaid state diagram: https://mermaid.js.org/syntax/stateDiagram.html."""

from collections.abc import Iterator

from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.stages import Stage
from services.pipeline.domain.ways import Ways, hand_ways, rule_ways
from services.pipeline.domain.wording import stage_facts, trigger_words

_MOST_ARROWS = 3
_BY_HAND = "CRM or person"


def mermaid(pipeline: Pipeline) -> str:
    """The text of the diagram. Stages are named by their place, because an id may be a word of Mermaid's."""
    return "\n".join(
        [
            "---",
            f"title: {pipeline.name}",
            "---",
            "stateDiagram-v2",
            *(f"    {line}" for line in _lines(pipeline)),
            "",
        ]
    )


def _lines(pipeline: Pipeline) -> Iterator[str]:
    stages = pipeline.stages
    for stage in stages.order:
        yield f'state "{stage.id}" as {_name(stage)}'
        facts = stage_facts(stage)
        if facts:
            yield f"{_name(stage)} : {_plain('; '.join(facts))}"
    yield f"[*] --> {_name(stages.initial)}"
    for ways in rule_ways(stages):
        assert ways.target.enter_when is not None
        yield from _arrows(ways, trigger_words(ways.target.enter_when))
    for ways in hand_ways(stages):
        yield from _arrows(ways, _BY_HAND)
    yield from (f"{_name(stage)} --> [*]" for stage in stages.order if stage.terminal)


def _arrows(ways: Ways, label: str) -> Iterator[str]:
    """An arrow from each origin; one from a state that stands for them where they are many."""
    target = _name(ways.target)
    if len(ways.origins) <= _MOST_ARROWS:
        yield from (f"{_name(origin)} --> {target} : {_plain(label)}" for origin in ways.origins)
        return
    yield f'state "any of {", ".join(origin.id for origin in ways.origins)}" as to_{target}'
    yield f"to_{target} --> {target} : {_plain(label)}"


def _name(stage: Stage) -> str:
    return f"stage{stage.index}"


def _plain(text: str) -> str:
    """Text without what Mermaid reads as its own: `;` ends a statement, `#` begins an entity, `"` a name."""
    return text.replace(";", ",").replace("#", "").replace('"', "'").replace("\n", " ").replace(":", " ")
