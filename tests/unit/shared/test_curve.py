"""Curves: decay, limits, rounding, and the bound that orders candidates."""

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.events.curve import (
    Curve,
    GroupCurve,
    ScoreCurve,
    Term,
    ceiling,
    clamp,
    merged,
    microseconds,
    moment,
    published,
    scores_at,
)
from tests.support.builders import at

HOUR_US = 3_600_000_000
START = at("2026-03-02T10:00")
START_US = microseconds(START)

points = st.floats(-100, 100).map(lambda value: round(value, 3))
terms = st.builds(
    Term,
    worth=points,
    from_us=st.integers(START_US - 10 * HOUR_US, START_US + 10 * HOUR_US),
    half_life_us=st.sampled_from([None, HOUR_US, 7 * HOUR_US]),
    ends_us=st.sampled_from([None, START_US - HOUR_US, START_US + 3 * HOUR_US]),
)
limits = st.one_of(st.none(), points)
groups = st.builds(GroupCurve, min=limits, max=limits, terms=st.lists(terms, max_size=6).map(tuple))


def a_curve(*found: GroupCurve, low: float | None = None, high: float | None = None, weight: float = 1) -> Curve:
    score = ScoreCurve(low, high, found, {})
    total = ScoreCurve(None, None, (), {"engagement": weight})
    return Curve(START_US, {"total": total, "engagement": score})


def a_term(worth: float, half_life_us: int | None = None, ends_us: int | None = None) -> Term:
    return Term(worth, START_US, half_life_us, ends_us)


def test_a_term_halves_and_ends() -> None:
    term = a_term(8, HOUR_US, START_US + 2 * HOUR_US)

    values = [term.value_at(START_US + shift) for shift in (-1, 0, HOUR_US, 2 * HOUR_US)]

    assert values == [0, 8, 4, 0]


def test_a_century_of_hourly_halving_is_nothing_and_no_error() -> None:
    assert a_term(1e9, HOUR_US).value_at(START_US + 100 * 8766 * HOUR_US) == 0


def test_groups_are_clamped_before_the_score_and_combined_after_it() -> None:
    curve = a_curve(GroupCurve(None, 30, (a_term(50),)), GroupCurve(-5, None, (a_term(-20),)), high=20, weight=0.5)

    assert scores_at(curve, START) == {"engagement": 20, "total": 10}


def test_a_curve_says_nothing_of_what_was_before_it() -> None:
    with pytest.raises(ValueError, match="begins"):
        scores_at(a_curve(), START - timedelta(microseconds=1))


@given(st.lists(terms, max_size=8), st.integers(0, 20 * HOUR_US))
def test_merged_terms_are_worth_the_same_from_then_on(found: list[Term], later_us: int) -> None:
    fewer = merged(found, at_us=START_US)

    at_us = START_US + later_us
    assert sum(term.value_at(at_us) for term in fewer) == pytest.approx(
        sum(term.value_at(at_us) for term in found), abs=1e-9
    )


@given(st.lists(groups, max_size=3), limits, limits, st.floats(-2, 2), st.integers(0, 30 * HOUR_US))
def test_no_later_score_is_above_the_ceiling(
    found: list[GroupCurve], low: float | None, high: float | None, weight: float, later_us: int
) -> None:
    alive = [GroupCurve(group.min, group.max, merged(group.terms, at_us=START_US)) for group in found]
    curve = a_curve(*alive, low=low, high=high, weight=weight)

    scores = scores_at(curve, moment(START_US + later_us))

    assert scores["engagement"] <= ceiling(curve, "engagement") + 1e-9
    assert scores["total"] <= ceiling(curve, "total") + 1e-9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.125, 0.12),
        (0.375, 0.38),
        (0.6 * 0.125, 0.08),
        (1.005, 1.0),
        (-0.125, -0.12),
        (-0.001, 0.0),
        (99.995, 100.0),
    ],
)
def test_published_numbers_have_two_decimals_half_to_even(value: float, expected: float) -> None:
    assert published(value) == expected
    assert str(published(value)) == str(expected)


@given(st.one_of(st.floats(-1e8, 1e8), st.integers(-(10**7), 10**7).map(lambda thousandths: thousandths / 1000)))
def test_a_published_number_is_what_decimals_make_of_its_nine_first_places(value: float) -> None:
    hundredths = Decimal(repr(round(value, 9))).quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)

    assert str(published(value)) == str(float(hundredths) + 0.0)


@given(st.integers(-(10**7), 10**7), st.floats(-1e-11, 1e-11))
def test_the_order_of_summing_cannot_show_in_a_published_number(thousandths: int, noise: float) -> None:
    assert published(thousandths / 1000 + noise) == published(thousandths / 1000)


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-100, 100))
def test_the_floor_wins_over_the_cap(value: float, low: float, high: float) -> None:
    assert clamp(value, low, high) == max(low, min(high, value))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_moments_are_exact_to_the_microsecond(naive: datetime) -> None:
    aware = naive.replace(tzinfo=START.tzinfo)

    assert moment(microseconds(aware)) == aware


def test_a_naive_time_is_no_moment() -> None:
    with pytest.raises(ValueError, match="zone"):
        microseconds(datetime(2026, 3, 2))


def test_a_curve_survives_the_wire() -> None:
    adapter = TypeAdapter(Curve)
    curve = a_curve(GroupCurve(None, 30.0, (a_term(0.1, HOUR_US, START_US + 1),)), low=0.0)

    assert adapter.validate_json(adapter.dump_json(curve)) == curve
