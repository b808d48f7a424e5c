"""A stretch of a curve: the same values, and which way they move without looking at every moment."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.scores.stretch import Stretch
from shared.documents.durations import DAY_US
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, values_at

START_US = 1_772_000_000_000_000
END_US = START_US + 400 * DAY_US

_terms = st.builds(
    Term,
    worth=st.floats(-30, 30),
    from_us=st.just(START_US),
    half_life_us=st.sampled_from([None, DAY_US, 7 * DAY_US, 30 * DAY_US]),
    ends_us=st.none(),
)
_groups = st.builds(
    GroupCurve,
    min=st.sampled_from([None, -5.0, 0.0]),
    max=st.sampled_from([None, 8.0, 20.0]),
    terms=st.lists(_terms, max_size=4).map(tuple),
)
# What only loses, group by group, whatever limits hold it up.
_fading = st.lists(
    st.builds(
        GroupCurve,
        min=st.sampled_from([None, 0.0]),
        max=st.sampled_from([None, 8.0, 20.0]),
        terms=st.lists(
            st.builds(
                Term,
                worth=st.floats(1, 30),
                from_us=st.just(START_US),
                half_life_us=st.sampled_from([DAY_US, 7 * DAY_US, 30 * DAY_US]),
                ends_us=st.none(),
            ),
            max_size=3,
        ).map(tuple),
    ),
    max_size=3,
).map(tuple)


def a_curve(groups: tuple[GroupCurve, ...], *, weight: float = 0.5, high: float | None = None) -> Curve:
    built = ScoreCurve(0.0, high, groups, {})
    combined = ScoreCurve(None, None, (), {"built": weight})
    return Curve(START_US, {"built": built, "combined": combined})


def of_one(worth: float, half_life_us: int | None = 7 * DAY_US) -> GroupCurve:
    return GroupCurve(None, None, (Term(worth, START_US, half_life_us, None),))


@given(st.lists(_groups, max_size=4).map(tuple), st.floats(-1, 1), st.lists(st.integers(0, 399 * DAY_US), min_size=2))
def test_it_has_the_values_of_its_curve_and_they_move_as_it_says(
    groups: tuple[GroupCurve, ...], weight: float, offsets: list[int]
) -> None:
    curve = a_curve(groups, weight=weight, high=40.0)
    stretch = Stretch(curve, START_US, END_US)
    moments = [START_US + offset for offset in sorted(offsets)]

    found = [stretch.values_at(at) for at in moments]

    assert found == [values_at(curve.scores, at) for at in moments]
    assert found == [{name: stretch.value_at(name, at) for name in curve.scores} for at in moments]
    for name in curve.scores:
        values, direction = [at[name] for at in found], stretch.direction_of(name)
        if direction is not None:
            moved = [(after - before) * (direction or 1) for before, after in pairwise(values)]
            assert all(step >= -1e-9 if direction else abs(step) < 1e-9 for step in moved)


@pytest.mark.parametrize(
    ("groups", "direction"),
    [
        ((of_one(10),), -1),
        ((of_one(-10),), 1),
        ((of_one(10, None),), 0),
        ((of_one(10), of_one(-4)), -1),
        # The gain fades first, and the penalty after it.
        ((of_one(10, DAY_US), of_one(-4, 30 * DAY_US)), None),
        # A cap holds the gain for a while, and the penalty fades meanwhile.
        ((GroupCurve(None, 5.0, of_one(20).terms), of_one(-4)), None),
    ],
)
def test_the_way_of_a_score_is_that_of_all_its_parts(groups: tuple[GroupCurve, ...], direction: int | None) -> None:
    assert Stretch(a_curve(groups), START_US, END_US).direction_of("built") == direction


def test_a_negative_weight_turns_the_way_round() -> None:
    assert Stretch(a_curve((of_one(10),), weight=-0.5), START_US, END_US).direction_of("combined") == 1


def test_a_level_is_passed_where_the_score_has_it() -> None:
    groups = (of_one(16), of_one(8, 30 * DAY_US), of_one(3, None))
    stretch = Stretch(a_curve(groups), START_US, END_US)

    passes_us = stretch.passes("combined", 4.0)

    assert passes_us is not None
    assert stretch.values_at(passes_us)["combined"] == pytest.approx(4.0, abs=1e-9)


@given(_fading, st.sampled_from([-0.5, 1.5]), st.sampled_from([None, 30.0]), st.floats(0.02, 0.98))
def test_a_score_that_moves_one_way_passes_a_level_where_looking_everywhere_finds_it(
    groups: tuple[GroupCurve, ...], weight: float, high: float | None, fraction: float
) -> None:
    stretch = Stretch(a_curve((of_one(4), *groups), weight=weight, high=high), START_US, END_US)
    begins, ends = stretch.value_at("combined", START_US), stretch.value_at("combined", stretch.last_us)
    level = begins + (ends - begins) * fraction

    passes_us = stretch.passes("combined", level)

    assert passes_us is not None
    before, after = (stretch.value_at("combined", passes_us + apart) for apart in (-9, 9))
    assert before > level > after if begins > ends else before < level < after


def test_where_a_level_is_passed_that_is_where_the_score_ends_up_nobody_knows_better_than_the_start() -> None:
    assert Stretch(a_curve((of_one(16), of_one(3, None))), START_US, END_US).passes("built", 3.0) == START_US


def test_a_score_comes_to_rest_at_what_does_not_decay_within_its_limits() -> None:
    groups = (of_one(16), GroupCurve(None, 2.0, of_one(3, None).terms), GroupCurve(1.5, None, of_one(4).terms))
    stretch = Stretch(a_curve(groups), START_US, END_US)

    assert (stretch.rest_of("built"), stretch.rest_of("combined")) == (3.5, 1.75)


def test_terms_that_are_over_or_still_to_come_are_no_part_of_it() -> None:
    over, to_come = Term(7, START_US - 9, None, START_US), Term(7, END_US, None, None)
    curve = a_curve((GroupCurve(None, None, (over, to_come)),))

    assert Stretch(curve, START_US, END_US).values_at(START_US) == {"built": 0.0, "combined": 0.0}
