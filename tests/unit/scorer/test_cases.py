"""Worked cases: the repository's own always, and those of another file where there is one."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict
from pydantic_core import from_json

from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.standing import standing_of
from shared.events.curve import published
from tests.support.builders import a_state, an_event_on_the_wire, at
from tests.support.oracle import scores_from_scratch

OWN = Path(__file__).with_name("cases.json")
REPOSITORY = Path(__file__).parents[3]


def cases_elsewhere() -> Path:
    named = os.environ.get("SCORING_VECTORS")  # noqa: TID251 - tests have no settings
    return Path(named) if named else REPOSITORY.parent / "shared" / "scoring-vectors.json"


def cases_of(path: Path) -> list[Any]:
    if not path.exists():
        reason = f"{path.name} is not there; name such a file in SCORING_VECTORS"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(case, id=case["name"]) for case in from_json(path.read_bytes())["cases"]]


def assert_reproduced(case: dict[str, Any]) -> None:
    model = parse_model(case["model"])
    state = a_state(model, *(an_event_on_the_wire(event) for event in reversed(case["events"] * 2)))
    for expected in case["expect"]:
        standing = standing_of(model, state, at(expected["at"].removesuffix("Z")))
        found = {"at": expected["at"], **asdict(standing)}
        assert found == expected


@pytest.mark.parametrize("case", cases_of(OWN))
def test_the_core_reproduces_its_own_cases(case: dict[str, Any]) -> None:
    assert_reproduced(case)


@pytest.mark.parametrize("case", cases_of(cases_elsewhere()))
def test_the_core_reproduces_the_cases_of_the_contract(case: dict[str, Any]) -> None:
    assert_reproduced(case)


@pytest.mark.parametrize("case", [*cases_of(OWN), *cases_of(cases_elsewhere())])
def test_the_oracle_that_other_tests_trust_reproduces_them_too(case: dict[str, Any]) -> None:
    for expected in case["expect"]:
        scores = scores_from_scratch(case["model"], case["events"], at(expected["at"].removesuffix("Z")))
        assert {name: published(score) for name, score in scores.items()} == expected["scores"]
