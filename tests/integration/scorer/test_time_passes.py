"""Time alone: a lead that nobody touches leaves its band at the computed microsecond, and the world is told."""

from datetime import datetime, timedelta
from math import log2

import pytest

from shared.events.json import Json
from shared.events.scores import LeadScoreChanged
from tests.integration.scorer.conftest import ScoresHarness
from tests.support.messages import NOON, an_event

pytestmark = pytest.mark.postgres

MICROSECOND = timedelta(microseconds=1)
MODEL: dict[str, Json] = {
    "model": "fading",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 80, "half_life": "14d"}]}},
    "bands": {"total": {"hot": 70, "warm": 40, "cold": 0}},
    "thresholds": {"hot": {"score": "total", "enter": 70, "exit": 55}},
}


@pytest.fixture
async def bench(scores: ScoresHarness) -> ScoresHarness:
    await scores.publish(MODEL)
    await scores.count(an_event("e1", at=NOON, received=NOON))
    await scores.told()
    return scores


async def due(bench: ScoresHarness) -> datetime:
    """The moment for which the scorer has the lead in its index."""
    ((moment,),) = await bench.rows("SELECT due_at FROM scorer.due")
    assert isinstance(moment, datetime)
    return moment


async def changes(bench: ScoresHarness) -> list[LeadScoreChanged]:
    return [message for message in await bench.told() if isinstance(message, LeadScoreChanged)]


def falls_below(level: float, worth: float = 80) -> timedelta:
    """When points that halve in 14 days are published as less than `level`.

    69.995 is still 70, half to even, and so is what only noise in the tenth decimal keeps from it.
    """
    return timedelta(days=14) * log2(worth / (level - 0.005 - 5e-10))


async def test_a_silent_lead_leaves_hot_at_the_computed_microsecond(bench: ScoresHarness) -> None:
    computed = NOON + falls_below(70)
    moment = await due(bench)
    assert abs(moment - computed) <= MICROSECOND

    bench.clock.move_to(moment - MICROSECOND)
    assert await bench.scorer.tell_what_time_did(10) == 0
    assert (await bench.get(f"{await bench.lead()}"))["bands"] == {"total": "hot"}

    bench.clock.move_to(moment)
    assert await bench.scorer.tell_what_time_did(10) == 1
    (change,) = await changes(bench)
    assert (change.time, change.data.at, change.data.cause) == (moment, moment, "time")
    assert change.data.previous is not None
    assert (change.data.previous.bands, change.data.current.bands) == ({"total": "hot"}, {"total": "warm"})
    assert change.data.current.scores == {"total": 69.99}


async def test_after_downtime_every_change_comes_late_with_its_true_moment(bench: ScoresHarness) -> None:
    bench.clock.move_to(NOON + timedelta(days=60))

    await bench.scorer.tell_what_time_did(10)

    told = await changes(bench)
    expected = [falls_below(70), falls_below(55), falls_below(40)]
    for change, moment in zip(told, expected, strict=True):
        assert abs(change.data.at - NOON - moment) <= MICROSECOND
    assert [change.data.current.bands["total"] for change in told] == ["warm", "warm", "cold"]
    assert [change.data.thresholds["hot"].position for change in told] == ["between", "below", "below"]
    assert await bench.rows("SELECT due_at FROM scorer.due") == []


async def test_moments_move_when_events_come(bench: ScoresHarness) -> None:
    before = await due(bench)

    bench.clock.advance(timedelta(days=1))
    await bench.count(an_event("e2", at=bench.clock.now(), received=bench.clock.now()))

    after = await due(bench)
    worth = 80 + 80 * 2 ** (-1 / 14)
    computed = NOON + timedelta(days=1) + falls_below(70, worth)
    assert before < after
    assert abs(after - computed) <= MICROSECOND
