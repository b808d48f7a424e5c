"""What became of single events: what counts adds up to what the ledger says of the rules."""

from datetime import datetime
from math import fsum
from typing import Any

import pytest
from hypothesis import given

from services.scorer.domain.counting.folding import fold
from services.scorer.domain.counting.tally import HistoryNeeded
from services.scorer.domain.counting.verdicts import verdicts
from services.scorer.domain.scores.ledger import ledger_of
from services.scorer.domain.states.state import EventKey
from shared.events.curve import microseconds
from tests.support.builders import a_model, a_retraction, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, histories
from tests.unit.scorer.histories import moments as any_moment


def test_each_event_counts_or_is_withheld_or_over() -> None:
    model = a_model(a_rule(expires_after="2d", limit={"count": 1, "per": "day"}))
    events = [
        an_event("2026-03-01T10:00", event_id="old"),
        an_event("2026-03-09T10:00", event_id="first"),
        an_event("2026-03-09T11:00", event_id="second"),
        an_event("2026-03-09T12:00", event_id="void"),
        a_retraction("void", "2026-03-09T13:00"),
    ]
    keys = {EventKey("web", name) for name in ("old", "first", "second", "void")}

    found = verdicts(model, a_state(model, *events), at("2026-03-10T10:00"), of=keys)

    fates = {key.id: [verdict.fate for verdict in of_event] for key, of_event in found.items()}
    assert fates == {"old": ["over"], "first": ["counts"], "second": ["withheld"], "void": []}


def test_folded_events_can_be_told_from_history_alone() -> None:
    model = a_model()
    state = fold(model, a_state(model, an_event()), microseconds(at("2026-03-05T00:00")))

    with pytest.raises(HistoryNeeded):
        verdicts(model, state, at("2026-03-06T00:00"), of=set())


@given(histories(max_size=12), any_moment())
def test_what_counts_adds_up_to_the_rules_of_the_ledger(history: list[dict[str, Any]], moment: datetime) -> None:
    events = [an_event_on_the_wire(event) for event in history]
    state = a_state(MODEL, *events)

    found = verdicts(MODEL, state, moment, of={EventKey(event.source, event.id) for event in events})

    rules = [entry for entry in ledger_of(MODEL, state, moment)["engagement"] if entry.kind == "rule"]
    worth = fsum(verdict.worth for of_event in found.values() for verdict in of_event)
    assert worth == pytest.approx(fsum(entry.worth for entry in rules), abs=1e-9)
