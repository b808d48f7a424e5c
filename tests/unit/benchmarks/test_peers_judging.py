"""What a killed engine is told to have lost and doubled, what its promise allows, and what the tables say of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from benchmarks.peers import report
from benchmarks.peers.__main__ import options_of, turns_of
from benchmarks.peers.answers import key_of_lead, once_each, published_by_leadflow
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.data import MIXES
from benchmarks.peers.gate import Found, Left
from benchmarks.peers.judging import Harm, Promise, harm, lost_and_doubled
from benchmarks.peers.killing import Aftermath
from benchmarks.peers.oracle import Expected, Outcome
from benchmarks.peers.runs import Figures
from benchmarks.peers.watching import Watch

_UNHARMED = Harm(
    wrong_scores=0, lost=0, doubled=0, crossings_missing=0, crossings_doubled=0, crossings_invented=0, repeated=0
)
_RIGHT = Expected({1: Outcome(60.0, 3, 0), 2: Outcome(10.0, 2, 0), 3: Outcome(55.0, 1, 0)})
_LEFT = {1: Left(60.0, 3, 0), 2: Left(10.0, 2, 0), 3: Left(55.0, 1, 0)}


def test_the_right_answer_is_no_harm() -> None:
    assert harm(_RIGHT, Found(_LEFT, [1, 3])) == _UNHARMED


def test_a_lead_that_is_missing_has_lost_its_events_and_its_score() -> None:
    did = harm(_RIGHT, Found({1: _LEFT[1], 3: _LEFT[3]}, [1, 3]))

    assert did == replace(_UNHARMED, wrong_scores=1, lost=2)


def test_what_one_lead_has_lost_does_not_make_up_for_what_another_has_doubled() -> None:
    assert lost_and_doubled({1: 3, 2: 2}, {1: 1, 2: 6, 3: 1}) == (2, 5)


def test_a_score_that_is_off_is_told_though_the_count_is_right() -> None:
    did = harm(_RIGHT, Found({**_LEFT, 2: Left(11.0, 2, 0)}, [1, 3]))

    assert did == replace(_UNHARMED, wrong_scores=1)


def test_crossings_can_be_missing_doubled_and_invented() -> None:
    did = harm(_RIGHT, Found(_LEFT, [1, 1, 1, 2]))

    assert (did.crossings_missing, did.crossings_doubled, did.crossings_invented) == (1, 2, 1)


@pytest.mark.parametrize(
    ("promise", "did", "kept"),
    [
        (Promise.NOTHING, replace(_UNHARMED, lost=900, wrong_scores=9), True),
        (Promise.LEAST_ONCE, replace(_UNHARMED, doubled=4, wrong_scores=3, crossings_doubled=7), True),
        (Promise.LEAST_ONCE, replace(_UNHARMED, lost=1), False),
        (Promise.LEAST_ONCE, replace(_UNHARMED, crossings_missing=1), False),
        (Promise.SUMS, replace(_UNHARMED, crossings_missing=1), True),
        (Promise.SUMS, replace(_UNHARMED, crossings_doubled=1), False),
        (Promise.SUMS, replace(_UNHARMED, doubled=1), False),
        (Promise.EXACTLY_ONCE_IN_KAFKA, replace(_UNHARMED, crossings_doubled=1), False),
        (Promise.EXACTLY_ONCE_IN_EFFECT, _UNHARMED, True),
        (Promise.EXACTLY_ONCE_IN_EFFECT, replace(_UNHARMED, repeated=40), True),
        (Promise.EXACTLY_ONCE_IN_EFFECT, replace(_UNHARMED, wrong_scores=1), False),
        (Promise.EXACTLY_ONCE_IN_EFFECT, replace(_UNHARMED, crossings_missing=1), False),
    ],
)
def test_a_promise_says_which_harm_may_be(promise: Promise, did: Harm, kept: bool) -> None:
    assert did.keeps(promise) is kept


def test_a_message_of_leadflow_that_came_again_is_read_once_and_counted() -> None:
    messages = [_recorded("a", 1), _reached("b", 1, at=1), _recorded("a", 1), _reached("b", 1, at=1)]

    found = published_by_leadflow(messages, {key_of_lead(1): 1}, 0)

    assert [left.count for left in found.leads.values()] == [1]
    assert found.crossings == [1]
    assert found.repeated == 2


def test_a_threshold_that_is_reached_twice_by_messages_of_different_ids_is_a_doubled_crossing() -> None:
    messages = [
        _recorded("a", 1),
        _reached("b", 1, at=1),
        _reached("c", 1, at=2, position="below"),
        _reached("d", 1, at=3),
    ]

    found = published_by_leadflow(messages, {key_of_lead(1): 1}, 0)

    assert found.doubled == 1


def test_a_lead_that_stays_where_it_is_crosses_once_in_whatever_order_it_is_read() -> None:
    messages = [_recorded("a", 1), _reached("c", 1, at=2), _reached("b", 1, at=1)]

    assert published_by_leadflow(messages, {key_of_lead(1): 1}, 0).crossings == [1]


def test_one_id_for_two_contents_is_refused() -> None:
    with pytest.raises(ValueError, match="one id"):
        once_each([_recorded("a", 1), _reached("a", 1, at=1)])


def test_what_others_used_is_taken_from_the_last_look_before_to_the_first_after() -> None:
    watch = Watch(lambda: (0.0, 0.0))
    watch._looks = [(float(moment), (moment * 1.0, moment * 10.0)) for moment in range(10)]

    assert watch.between(2.5, 4.5) == (3.0, 30.0)
    assert watch.between(-1.0, 99.0) == (9.0, 90.0)


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (Figures("leadflow, default", "B", "zipf"), False),
        (Figures("Quix Streams, default", "B", "zipf", refused="did not finish in 9 s"), True),
        (Figures("Quix Streams, default", "B", "zipf", refused="no java here", ran=False), False),
        (Aftermath("Quix Streams, default", "B", "zipf", "at least once", _UNHARMED, kept=False), False),
        (Aftermath("leadflow, default", "B", "zipf", "exactly once in effect", _UNHARMED, kept=False), True),
        (Aftermath("leadflow, default", "B", "zipf", "exactly once in effect", refused="ended"), True),
    ],
)
def test_the_command_fails_for_wrong_answers_for_none_and_for_a_promise_of_leadflow_that_was_broken(
    one: Figures | Aftermath, wrong: bool
) -> None:
    assert report.is_wrong(one) is wrong


def test_the_table_of_kills_says_promise_and_harm_or_why_it_is_not_known() -> None:
    did = replace(_UNHARMED, lost=1834)
    kills = [
        Aftermath("Quix Streams, default", "A", "zipf", "at least once", did, kept=False, seconds=9.0),
        Aftermath("Bytewax, default", "A", "zipf", "at least once", refused="did not finish in 9 s: a | b"),
    ]

    lines = report.kill_table(kills, events=8000).splitlines()

    assert lines[-2] == "| Quix Streams, default | at least once | **no** | 0 | 1,834 | 0 | 0 | 0 | 0 | 0 | 9.0 |"
    assert lines[-1].startswith("| Bytewax, default | at least once | not known: did not finish in 9 s: a / b |")
    assert {line.count("|") for line in lines if line.startswith("|")} == {12}


def test_the_table_of_the_same_sink_says_who_uses_less_than_leadflow() -> None:
    found = [
        Figures("leadflow, default", "B", "zipf", engine=100, postgres=60),
        Figures("leadflow, tuned", "B", "zipf", engine=120, postgres=80),
        Figures("Bytewax, default", "B", "zipf", engine=15, postgres=1),
        Figures("Faust-streaming, default", "B", "zipf", engine=316, postgres=4),
        Figures("Quix Streams, default", "B", "zipf", refused="7 scores are wrong"),
    ]

    rows = [line.split(" | ") for line in report.table(found, events=8000, rounds=1).splitlines()[4:]]

    assert [(row[0], row[-1]) for row in rows] == [
        ("| engine", "beside leadflow |"),
        ("| ---", "---: |"),
        ("| Bytewax, default", "0.10 |"),
        ("| leadflow, default", "1.00 |"),
        ("| leadflow, tuned", "1.25 |"),
        ("| Faust-streaming, default", "2.00 |"),
        ("| Quix Streams, default", " |"),
    ]


def test_a_quick_run_has_every_contestant_in_both_classes_and_mixes_and_kills_nobody() -> None:
    turns = list(turns_of(options_of(["--quick"])))

    assert {(turn.contestant.name, turn.mix) for turn in turns} == {
        (one.name, mix) for one in CONTESTANTS for mix in MIXES
    }
    assert not any(turn.kill for turn in turns)
    assert len(turns) == len({str(turn) for turn in turns}) == 2 * (12 + 14)


def test_kills_are_once_a_class_and_of_leadflow_where_its_state_is() -> None:
    turns = list(turns_of(options_of(["--kill"])))

    assert all(turn.kill for turn in turns)
    assert [turn.state for turn in turns if turn.contestant.module == "leadflow"] == ["B", "B"]
    assert len(turns) == 12 + 14


def test_a_table_of_class_a_alone_has_leadflow_beside_it() -> None:
    turns = list(turns_of(options_of(["--figures", "--class", "A", "--mix", "zipf", "--rounds", "1"])))

    assert len(turns) == len(CONTESTANTS)


def _recorded(name: str, lead: int) -> tuple[bytes, bytes]:
    return _message(name, lead, "lead.events_recorded", {"events": [{"occurred_at": "2026-11-22T12:00:00Z"}]})


def _reached(name: str, lead: int, *, at: int, position: str = "reached") -> tuple[bytes, bytes]:
    change: Mapping[str, object] = {
        "at": "2026-11-22T12:00:00Z",
        "sequence": at,
        "current": {"scores": {"engagement": 50.0}},
        "thresholds": {"crossed": {"position": position}},
    }
    return _message(name, lead, "lead.score_changed", change)


def _message(name: str, lead: int, kind: str, data: Mapping[str, object]) -> tuple[bytes, bytes]:
    emails: Sequence[str] = [f"lead.{lead}@example.com"]
    body = {"id": name, "type": kind, "data": {**data, "lead": {"id": f"lead-{lead}", "emails": emails}}}
    return b"key", json.dumps(body).encode()
