"""Where a lead stands: bands, grade and positions follow the rounded scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.scores.standing import levels_reached, positions, standing
from shared.events.json import Json
from shared.events.scores import Standing
from tests.support.builders import a_model
from tests.unit.scorer.histories import MODEL as EVERYTHING

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


_values = st.floats(-200, 200) | st.integers(-3000, 9000).map(lambda thousandths: thousandths / 1000)
_standings = st.fixed_dictionaries({"engagement": _values, "fit": _values, "total": _values})


@given(_standings, _standings)
def test_the_levels_reached_differ_exactly_where_a_band_the_grade_or_a_position_does(
    one: dict[str, float], other: dict[str, float]
) -> None:
    first, second = standing(EVERYTHING, one), standing(EVERYTHING, other)

    same_levels = levels_reached(EVERYTHING, one) == levels_reached(EVERYTHING, other)

    assert same_levels is (told(first) == told(second))


def told(found: Standing) -> object:
    where = {name: position.position for name, position in positions(EVERYTHING, found).items()}
    return found.bands, found.grade, where
