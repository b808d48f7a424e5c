"""Where a lead stands: bands, grade and positions follow the rounded scores."""

import pytest

from services.scorer.domain.standing import positions, standing
from shared.events.json import Json
from tests.support.builders import a_model

SECTIONS: dict[str, Json] = {
    "scores": {"fit": {"rules": [{"id": "x", "if": {"attributes.a": 1}, "points": 1}]}},
    "bands": {"engagement": {"1": 60, "2": 30}, "fit": {"A": 70, "B": 0}},
    "grade": ["fit", "engagement"],
    "thresholds": {
        "hot": {"score": "engagement", "enter": 60, "exit": 45, "cooldown": "1h"},
        "mql": {"grade": ["A1", "A2"]},
    },
}
MODEL = a_model(**SECTIONS)


@pytest.mark.parametrize(
    ("engagement", "band"), [(60, "1"), (59.995, "1"), (59.994, "2"), (30, "2"), (29.99, None), (-5, None)]
)
def test_a_band_is_reached_by_the_rounded_score(engagement: float, band: str | None) -> None:
    assert standing(MODEL, {"engagement": engagement, "fit": 0}).bands["engagement"] == band


@pytest.mark.parametrize(("engagement", "grade"), [(60, "A1"), (30, "A2"), (0, None)])
def test_the_grade_is_a_cell_of_two_bands(engagement: float, grade: str | None) -> None:
    assert standing(MODEL, {"engagement": engagement, "fit": 70}).grade == grade


@pytest.mark.parametrize(
    ("engagement", "position"),
    [(60, "reached"), (59.995, "reached"), (59.99, "between"), (45, "between"), (44.99, "below")],
)
def test_a_position_is_told_by_enter_and_exit(engagement: float, position: str) -> None:
    found = positions(MODEL, standing(MODEL, {"engagement": engagement, "fit": 0}))["hot"]

    assert found.position == position
    assert (found.enter, found.exit, found.cooldown_seconds) == (60, 45, 3600)


@pytest.mark.parametrize(("engagement", "position"), [(60, "reached"), (30, "reached"), (0, "below")])
def test_a_threshold_on_grades_has_nothing_between(engagement: float, position: str) -> None:
    assert positions(MODEL, standing(MODEL, {"engagement": engagement, "fit": 70}))["mql"].position == position
