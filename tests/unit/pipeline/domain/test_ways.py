"""From where to where a document lets leads move."""

from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.ways import hand_ways, rule_ways
from shared.events.json import Json
from tests.support.pipeline import a_pipeline


def rules(pipeline: Pipeline) -> dict[str, list[str]]:
    return {ways.target.id: [stage.id for stage in ways.origins] for ways in rule_ways(pipeline.stages)}


def hands(pipeline: Pipeline) -> dict[str, list[str]]:
    return {ways.target.id: [stage.id for stage in ways.origins] for ways in hand_ways(pipeline.stages)}


def test_a_rule_leads_forward_or_from_where_it_says_and_out_of_no_ending() -> None:
    assert rules(a_pipeline()) == {
        "engaged": ["new"],
        "mql": ["new", "engaged"],
        "sql": ["mql"],
        "nurture": ["engaged", "mql"],
        "disqualified": ["new", "engaged", "mql", "sql", "proposal", "negotiation", "nurture"],
    }


def test_hands_lead_onward_into_stages_without_a_rule() -> None:
    ways = hands(a_pipeline())

    assert list(ways) == ["proposal", "negotiation", "won", "lost"]
    assert ways["won"] == ["new", "engaged", "mql", "sql", "proposal", "negotiation"]


def test_where_skipping_is_refused_only_the_neighbour_leads_on_and_everybody_may_be_lost() -> None:
    ways = hands(a_pipeline(moves={"skip": "refused"}))

    assert ways["negotiation"] == ["proposal"]
    assert ways["won"] == ["negotiation"]
    assert ways["lost"] == ["new", "engaged", "mql", "sql", "proposal", "negotiation"]


def test_an_alternative_that_names_its_origin_leads_back_and_the_other_does_not() -> None:
    stages: list[Json] = [
        {"id": "a", "initial": True},
        {"id": "b", "enter_when": {"any": [{"event": "x"}, {"event": "y", "stage_in": ["c"]}]}},
        {"id": "c"},
        {"id": "d"},
    ]

    assert rules(a_pipeline(stages=stages)) == {"b": ["a", "c"]}
