"""However events come, the scores are those of the set of accepted events, to 1e-9 before rounding.

A worker here does what the service does: it drops repetitions by their id, combines batches, stores its state as
JSON, folds it, and where the folded state cannot answer, recomputes it from the events it has accepted.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scorer.domain.codec import decode_state, encode_state
from services.scorer.domain.counting import folding
from services.scorer.domain.counting.folding import compact, fold
from services.scorer.domain.counting.tally import HistoryNeeded, curve_of, needs_history
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.forecast import forecast_from
from services.scorer.domain.states.state import EMPTY, EventKey, LeadState, combine
from shared.events.curve import microseconds, scores_at
from tests.support.builders import a_state, an_event_on_the_wire
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories, moments


@pytest.fixture(autouse=True, scope="module")
def _everything_folds_early() -> Iterator[None]:
    """Bounds so low that histories of two dozen events meet all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "KEPT_ENTRIES", 4)
        patch.setattr(folding, "MOST_ENTRIES", 12)
        patch.setattr(folding, "KEPT_ADJUSTMENTS", 1)
        patch.setattr(folding, "KEPT_COUNTS", 1)
        yield


class Worker:
    """One lead, or a part of its events."""

    def __init__(self) -> None:
        self.accepted: dict[EventKey, dict[str, Any]] = {}
        self.state = EMPTY

    def take(self, batch: list[dict[str, Any]]) -> None:
        fresh = {_key(event): event for event in batch if _key(event) not in self.accepted}
        self.accepted |= fresh
        self._become(combine(self.state, _state_of(list(fresh.values()))))

    def absorb(self, other: "Worker") -> None:
        self.accepted |= other.accepted
        self._become(combine(self.state, other.state))

    def fold(self, until: datetime) -> None:
        self._become(fold(MODEL, self.state, microseconds(until)))

    def scores(self, at: datetime) -> dict[str, float]:
        try:
            return scores_at(curve_of(MODEL, self.state, at), at)
        except HistoryNeeded:
            return scores_at(curve_of(MODEL, _state_of(list(self.accepted.values())), at), at)

    def _become(self, state: LeadState) -> None:
        if needs_history(MODEL, state):
            state = _state_of(list(self.accepted.values()))
        self.state = decode_state(encode_state(compact(MODEL, state)))
        # What was just folded can answer: a recomputed lead is not recomputed again at once.
        assert not needs_history(MODEL, self.state)


@given(st.data(), histories(), moments())
def test_any_order_batching_split_repetition_merge_and_replay_score_as_from_scratch(
    data: st.DataObject, history: list[dict[str, Any]], moment: datetime
) -> None:
    workers = [Worker() for _ in range(data.draw(st.integers(1, 3)))]
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=8)) if history else []
    delivered = data.draw(st.permutations([*history, *repeated]))
    while delivered:
        size = data.draw(st.integers(1, 12))
        for number, worker in enumerate(workers):
            worker.take([event for event in delivered[:size] if _number(event) % len(workers) == number])
        delivered = delivered[size:]
        match data.draw(st.sampled_from(["go on", "fold", "merge"])):
            case "fold":
                workers[0].fold(data.draw(moments()))
            case "merge" if workers[-1] is not workers[0]:
                merged = workers[-1]
                workers[0].absorb(merged)
                # Whoever comes under the absorbed lead's name, repetitions too, is the survivor's from now on.
                workers = [workers[0] if worker is merged else worker for worker in workers]
    first, *others = dict.fromkeys(workers)
    for other in others:
        first.absorb(other)

    assert first.accepted.keys() == {_key(event) for event in history}
    assert first.scores(moment) == pytest.approx(scores_from_scratch(MODEL_DOCUMENT, history, moment), abs=1e-9)


@settings(max_examples=50)
@given(st.data(), histories(40), moments())
def test_a_lead_counted_event_by_event_scores_as_one_replayed_at_once(
    data: st.DataObject, history: list[dict[str, Any]], moment: datetime
) -> None:
    live, replayed = Worker(), Worker()

    for event in data.draw(st.permutations(history)):
        live.take([event])
    replayed.take(history)

    assert live.scores(moment) == pytest.approx(replayed.scores(moment), abs=1e-9)


def _number(event: dict[str, Any]) -> int:
    return int(event["id"][1:])


def _key(event: dict[str, Any]) -> EventKey:
    return EventKey(event["source"], event["id"])


def _state_of(history: list[dict[str, Any]]) -> LeadState:
    return a_state(MODEL, *(an_event_on_the_wire(event) for event in history))


@given(st.lists(st.integers(0, 60 * 365 * 24 * 3600), min_size=1, max_size=20), st.integers(0, 10**10))
def test_decades_and_half_lives_of_an_hour_overflow_nothing(seconds: list[int], later: int) -> None:
    document: dict[str, Any] = {
        "model": "long",
        "scores": {"a": {"half_life": "1h", "rules": [{"id": "r", "on": "x", "points": 1e9}]}},
        "bands": {"a": {"high": 1, "low": 0}},
    }
    begin = datetime(1971, 1, 1, tzinfo=UTC)
    history: list[dict[str, Any]] = [
        {"id": str(n), "source": "s", "type": "x", "occurred_at": (begin + timedelta(seconds=at)).isoformat()}
        | {"properties": {}}
        for n, at in enumerate(seconds)
    ]
    model, now = parse_model(document), begin + timedelta(seconds=max(seconds) + later)

    state = fold(model, a_state(model, *map(an_event_on_the_wire, history)), microseconds(now))

    curve = curve_of(model, state, now)
    assert scores_at(curve, now) == pytest.approx(scores_from_scratch(document, history, now), rel=1e-9, abs=1e-9)
    changes_at = forecast_from(model, curve).changes_at
    assert changes_at is None or now < changes_at < now + timedelta(days=4)
