"""Leads are done side by side: in the order of their steps, and with what each gives alone."""

import pytest

from services.scorer.domain.steps import TOGETHER, Steps, at_once, side_by_side


class Unanswerable(Exception):
    """What the caller of these tests leaves leads out for."""


def work(name: int, stops: int, seen: list[tuple[int, int]]) -> Steps[str]:
    for step in range(stops):
        seen.append((step, name))
        yield
    return f"result of {name}"


def failing(stops: int, error: Exception) -> Steps[str]:
    for _ in range(stops):
        yield
    raise error


def test_steps_taken_at_once_give_their_result() -> None:
    assert at_once(work(7, stops=3, seen=[])) == "result of 7"


def test_each_takes_a_step_before_any_takes_its_next() -> None:
    seen: list[tuple[int, int]] = []

    side_by_side(((name, work(name, stops=3, seen=seen)) for name in range(4)), without=Unanswerable)

    assert seen == sorted(seen)


def test_no_more_are_begun_than_go_together() -> None:
    seen: list[tuple[int, int]] = []

    side_by_side(((name, work(name, stops=2, seen=seen)) for name in range(TOGETHER + 1)), without=Unanswerable)

    assert seen[-2:] == [(0, TOGETHER), (1, TOGETHER)]


def test_results_come_in_the_order_in_which_work_was_begun_however_many_steps_each_takes() -> None:
    names = range(3 * TOGETHER)

    results = side_by_side(((name, work(name, stops=-name % 5, seen=[])) for name in names), without=Unanswerable)

    assert results == {name: f"result of {name}" for name in names}
    assert list(results) == list(names)


def test_who_raises_what_the_caller_named_is_left_out_and_keeps_nobody_else_from_a_result() -> None:
    begun = {1: failing(0, Unanswerable()), 2: work(2, stops=2, seen=[]), 3: failing(2, Unanswerable())}

    results = side_by_side(begun.items(), without=Unanswerable)

    assert results == {2: "result of 2"}


def test_any_other_error_is_the_callers() -> None:
    begun = {1: work(1, stops=2, seen=[]), 2: failing(1, KeyError("a defect"))}

    with pytest.raises(KeyError, match="a defect"):
        side_by_side(begun.items(), without=Unanswerable)
