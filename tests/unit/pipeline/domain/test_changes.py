"""What a version changes, in sentences."""

import pytest

from services.pipeline.domain.changes import changes
from shared.events.json import Json
from tests.support.pipeline import B2B, a_pipeline

STAGES: list[Json] = [{"id": "new", "initial": True}, {"id": "mql", "enter_when": {"threshold": "mql"}}]
CRITERIA: dict[str, Json] = {"need": {"if": {"attributes.use_case": {"exists": True}}}}


def changed(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    plain: dict[str, Json] = {"qualification": None, "business_hours": None, "moves": None, "stages": STAGES}
    return changes(a_pipeline(**{**plain, **before}), a_pipeline(**{**plain, **after}))


def with_stage(**stage: Json) -> dict[str, Json]:
    return {"stages": [STAGES[0], {"id": "mql", **stage}]}


def test_the_same_document_changes_nothing() -> None:
    assert changes(a_pipeline(), a_pipeline()) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"pipeline": "b2c"}, "the name is b2c instead of b2b-sales"),
        (
            {},
            {"stages": [*STAGES, {"id": "sql"}]},
            "the stage sql is new, after mql",
        ),
        (
            {},
            {"stages": STAGES[:1]},
            "the stage mql is gone: leads in it stay there until a person or a CRM moves them",
        ),
        (
            {"stages": [*STAGES, {"id": "sql"}]},
            {"stages": [STAGES[0], {"id": "sql"}, STAGES[1]]},
            "the order of the stages is now new, sql, mql",
        ),
        (
            with_stage(enter_when={"threshold": "mql"}),
            with_stage(enter_when={"any": [{"threshold": ["mql", "hot"]}, {"event": "demo"}], "stage_in": ["new"]}),
            "the stage mql: moved here by the rule inside mql or hot or event demo, from new instead of inside mql",
        ),
        (with_stage(due="4h"), with_stage(), "the stage mql: due nothing instead of 4h"),
        (with_stage(), with_stage(requires=["reason"]), "the stage mql: requires reason instead of nothing"),
        (with_stage(), with_stage(terminal="won"), "the stage mql: ends as won instead of nothing"),
        (with_stage(), with_stage(probability=0.25), "the stage mql: the probability is 0.25 instead of nothing"),
        (
            with_stage(),
            with_stage(on_enter={"reset_scores": "engagement"}),
            "the stage mql: resets engagement instead of nothing",
        ),
        ({}, {"qualification": {"criteria": CRITERIA}}, "the criterion need is new: use_case is given"),
        ({"qualification": {"criteria": CRITERIA}}, {}, "the criterion need is gone"),
        (
            {"qualification": {"criteria": CRITERIA}},
            {"qualification": {"criteria": {"need": {"if": {"attributes.pain": "big"}}}}},
            "the criterion need: the condition is pain is big instead of use_case is given",
        ),
        (
            {},
            {"qualification": {"disqualified": [{"if": {"attributes.x": {"in": [1, "a"]}}, "reason": "rival"}]}},
            "whoever is disqualified now: x is one of 1, a (rival)",
        ),
        ({}, {"moves": {"back": "refused"}}, "moving back is refused instead of allowed"),
        (
            {},
            {"business_hours": B2B["business_hours"]},
            "business hours are Mon, Tue, Wed, Thu, Fri 09:00 to 17:00 in Europe/Stockholm instead of all hours",
        ),
    ],
)
def test_each_change_is_one_sentence(before: dict[str, Json], after: dict[str, Json], said: str) -> None:
    assert changed(before, after) == [said]


def test_a_condition_is_read_aloud() -> None:
    criteria: dict[str, Json] = {
        "fit": {
            "if": {
                "any": [
                    {"attributes.size": {"gte": 50, "lt": 500}},
                    {"not": {"attributes.country": {"not_in": ["SE", "NO"]}}},
                ],
                "attributes.title": {"matches": "head"},
            },
            "expires_after": "90d",
        }
    }

    (said,) = changed({}, {"qualification": {"criteria": criteria}})

    assert said == (
        "the criterion fit is new: (size is at least 50 and size is less than 500 "
        "or not (country is none of SE, NO)) and title matches head"
    )
