"""A glance shows what waits and what is worrying, also when part of it cannot be known."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.command.status.reading import Letters, Part, Reading, Standing, Webhooks
from services.command.status.view import Line, age, lines_of
from shared.db.due import Overdue
from shared.db.outbox import Backlog

QUIET = Standing(
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    groups={"scorer": Part(Reading("engagement-events", 1, 0, 0.0))},
    outboxes={"scorer": Part(Backlog(0, 0.0))},
    due={"scorer": Part(Overdue(0, 0.0))},
    webhooks=Part(Webhooks(0, 0.0, 0, {"enabled": 2})),
    parked=Part(0),
    dead_letters=Part({"engagement-events-dlq": Letters(0, 0)}),
)


def line(standing: Standing, about: str, name: str) -> Line:
    (found,) = [one for one in lines_of(standing) if (one.about, one.name) == (about, name)]
    return found


def test_a_quiet_installation_worries_nobody() -> None:
    assert {line.state for line in lines_of(QUIET)} == {"ok"}


@pytest.mark.parametrize(
    ("reading", "says", "state"),
    [
        (Reading("t", 2, 0, 0.0), "2 processes read t, caught up", "ok"),
        (Reading("t", 1, 1_200, 3.21), "1 process reads t, 1,200 records behind, the oldest for 3.2 s", "ok"),
        (Reading("t", 1, 9, 30.0), "1 process reads t, 9 records behind, the oldest for 30 s", "look"),
        (Reading("t", 1, 9, 300.0), "1 process reads t, 9 records behind, the oldest for 5 min", "bad"),
        (Reading("t", 0, 0, 0.0), "nobody reads t, caught up", "look"),
        (Reading("t", 0, 9, 0.5), "nobody reads t, 9 records behind, the oldest for 0.5 s", "bad"),
    ],
)
def test_a_group_is_judged_by_its_age_and_not_by_its_number(reading: Reading, says: str, state: str) -> None:
    found = line(replace(QUIET, groups={"scorer": Part(reading)}), "consumers", "scorer")

    assert (found.says, found.state) == (says, state)


def test_what_waits_is_told_with_its_age() -> None:
    standing = replace(
        QUIET,
        outboxes={"scorer": Part(Backlog(12, 90.0))},
        due={"scorer": Part(Overdue(3, 7_300.0))},
        webhooks=Part(Webhooks(4, 8.0, 2, {"enabled": 1, "paused": 1, "disabled": 0})),
        parked=Part(5),
        dead_letters=Part({"engagement-events-dlq": Letters(3, 1)}),
    )

    told = {(one.about, one.name): (one.says, one.state) for one in lines_of(standing)}

    assert told["outbox", "scorer"] == ("12 messages, the oldest for 90 s", "bad")
    assert told["due moments", "scorer"] == ("3 overdue, the oldest for 2 h", "bad")
    assert told["webhooks", "deliveries"] == ("4 wait, the oldest for 8.0 s", "look")
    assert told["webhooks", "given up"] == ("2", "look")
    assert told["webhooks", "receivers"] == ("1 enabled, 1 paused", "look")
    assert told["parked", "elements"] == ("5 wait for somebody: leadflow parked list", "look")
    assert told["dead letters", "engagement-events-dlq"] == ("3 kept, 1 sent back", "look")


def test_what_could_not_be_looked_at_is_never_called_fine() -> None:
    away: Part[Reading] = Part(None, "Kafka does not answer")

    found = line(replace(QUIET, groups={"scorer": away}), "consumers", "scorer")

    assert (found.says, found.state) == ("not known: Kafka does not answer", "unknown")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (400_000, "5 days")],
)
def test_ages_are_as_exact_as_one_wants_them(seconds: float, words: str) -> None:
    assert age(seconds) == words
