"""The comparison with other engines stands on three things: the data, the right answer, and a gate that bites."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from benchmarks.peers import data
from benchmarks.peers.data import MIXES, Made, Mix, record
from benchmarks.peers.gate import Found, Left, faults
from benchmarks.peers.oracle import MODEL_FILE, expected, score_after
from benchmarks.peers.rules import CROSSED_AT, NOBODY, Lead, crosses, fold, read
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import EventScore
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput
from shared.events.codec import decode
from shared.events.engagement import EngagementAccepted

_AS_OF = datetime(2026, 11, 22, 12, tzinfo=UTC)
_AS_OF_US = (_AS_OF - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
_EVENTS = 2000

Flaw = Callable[[Sequence[Made]], Sequence[Made]]


@pytest.mark.parametrize("mix", MIXES)
def test_the_data_are_those_of_the_pinned_hash(mix: Mix) -> None:
    assert data.fingerprint(data.made(_EVENTS, mix)) == data.PINNED[_EVENTS, mix]


def test_data_of_another_seed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PINNED", {(_EVENTS, "zipf"): data.fingerprint(data.made(_EVENTS, "zipf", seed=1))})

    with pytest.raises(RuntimeError, match="not the data"):
        data.pinned(_EVENTS, "zipf")


def test_the_data_have_duplicates_late_and_invalid_records_in_their_shares() -> None:
    records = data.made(10_000, "uniform")

    repeated = len(records) - len({one.id for one in records})
    late = sum(one.ago_us > one.received_ago_us for one in records)
    invalid = sum(one.flaw is not None for one in records)
    assert 100 < repeated < 300
    assert 400 < late < 600
    assert 20 < invalid < 90


def test_the_model_is_one_that_leadflow_reads_and_has_25_rules() -> None:
    document = read_yaml(MODEL_FILE.read_text())

    score = parse_model(document).scores["engagement"]

    assert isinstance(score, EventScore)
    assert len(score.rules) == 25


def test_records_are_messages_of_ingest_and_only_invalid_ones_are_refused_by_anybody() -> None:
    for one in _made("uniform"):
        _, body = record(one, _AS_OF)
        if one.flaw is None:
            assert isinstance(decode(body), EngagementAccepted)
            assert read(body) is not None
        else:
            with pytest.raises(InvalidInput):
                decode(body)
            assert read(body) is None


@pytest.mark.parametrize("mix", MIXES)
def test_an_engine_that_works_passes_the_gate(mix: Mix) -> None:
    records = _made(mix)

    assert faults(expected(records), _engine(records), as_of_us=_AS_OF_US) == []


def test_events_of_which_some_cross_and_some_do_not_are_asked_about() -> None:
    right = expected(_made("uniform"))

    assert 10 < len(right.crossed) < len(right.leads) - 10


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        pytest.param(lambda found: [*found, found[0]], "count", id="counts a duplicate"),
        pytest.param(lambda found: found[1:], "count", id="loses an event"),
        pytest.param(lambda found: [*found[:-1], replace(found[-1], ago_us=0)], "last time", id="moves a time"),
        pytest.param(lambda found: [_of_another_type(found[0]), *found[1:]], "score", id="misses a rule"),
        pytest.param(
            lambda found: [replace(found[0], lead=10**6), *found[1:]], "nothing valid", id="makes up a lead"
        ),
    ],
)
def test_an_engine_with_a_planted_fault_is_refused(flaw: Flaw, said: str) -> None:
    records = _made("uniform")
    valid = list({one.id: one for one in records if one.flaw is None}.values())

    found = _engine(flaw(valid), drops_duplicates=False)

    refused = "; ".join(faults(expected(records), found, as_of_us=_AS_OF_US))
    assert refused
    assert said in refused


def test_a_score_that_is_off_by_a_millionth_is_refused() -> None:
    records = _made("uniform")
    found = _engine(records)
    lead, left = next((lead, left) for lead, left in found.leads.items() if left.score > 1)

    wrong = replace(found, leads={**found.leads, lead: replace(left, score=left.score * (1 + 1e-6))})

    assert "score" in faults(expected(records), wrong, as_of_us=_AS_OF_US)[0]


def test_a_missing_crossing_and_an_invented_one_are_refused_and_one_told_twice_is_counted() -> None:
    records = _made("uniform")
    right, found = expected(records), _engine(records)
    below = min(right.leads.keys() - right.crossed)

    missing = faults(right, replace(found, crossings=found.crossings[1:]), as_of_us=_AS_OF_US)
    invented = faults(right, replace(found, crossings=[*found.crossings, below]), as_of_us=_AS_OF_US)
    doubled = replace(found, crossings=[*found.crossings, found.crossings[0]])

    assert missing == ["1 crossings missing"]
    assert invented == ["1 crossings that were none"]
    assert faults(right, doubled, as_of_us=_AS_OF_US) == []
    assert doubled.doubled == 1


def test_rounded_scores_are_held_to_what_is_left_when_they_are_told_and_to_their_two_decimals() -> None:
    records = _made("uniform")
    right = expected(records)
    told = {
        lead: Left(
            round(score_after(outcome, 3_600_000_000), 2),
            outcome.count,
            _AS_OF_US - outcome.last_ago_us,
            after_us=3_600_000_000,
            rounded=True,
        )
        for lead, outcome in right.leads.items()
    }
    lead = next(iter(told))
    off = {**told, lead: replace(told[lead], score=told[lead].score + 0.02)}

    assert faults(right, Found(told, sorted(right.crossed)), as_of_us=_AS_OF_US) == []
    assert "score" in faults(right, Found(off, sorted(right.crossed)), as_of_us=_AS_OF_US)[0]


@cache
def _made(mix: Mix) -> Sequence[Made]:
    return tuple(data.made(_EVENTS, mix))


def _of_another_type(one: Made) -> Made:
    return replace(one, type="session_ended" if one.type != "session_ended" else "demo_requested")


def _engine(records: Sequence[Made], *, drops_duplicates: bool = True) -> Found:
    """The shared rules in a loop, as the adapters have them."""
    leads: dict[int, Lead] = {}
    crossings: list[int] = []
    seen: set[str] = set()
    for one in records:
        event = read(record(one, _AS_OF)[1])
        if event is None or (drops_duplicates and event.id in seen):
            continue
        seen.add(event.id)
        before = leads.get(one.lead, NOBODY)
        leads[one.lead] = fold(before, event, _AS_OF_US)
        if crosses(before, leads[one.lead]):
            crossings.append(one.lead)
    assert all(leads[lead].score >= CROSSED_AT for lead in crossings)
    return Found({lead: Left(*state) for lead, state in leads.items()}, crossings)
