"""The digest depends on events and scores alone: not on ids, orders, or the last bits of a float."""

from datetime import datetime
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.counting.tally import tally_of
from services.scorer.domain.scores import digest
from services.scorer.domain.scores.digest import digest_of, fingerprint, published_scores
from shared.events.curve import microseconds
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories, moments


@given(histories(), moments(), st.randoms(use_true_random=False))
def test_a_fingerprint_knows_no_order(history: list[dict[str, Any]], moment: datetime, random: Random) -> None:
    events = [an_event_on_the_wire(event) for event in history]
    shuffled = random.sample(events, len(events))

    one, other = (
        fingerprint(MODEL, each, tally_of(MODEL, a_state(MODEL, *each)), microseconds(moment))
        for each in (events, shuffled)
    )

    assert one == other


@given(histories(), moments())
def test_exact_scores_are_those_of_the_scoring_page(history: list[dict[str, Any]], moment: datetime) -> None:
    tally = tally_of(MODEL, a_state(MODEL, *(an_event_on_the_wire(event) for event in history)))

    exact = digest._exact_scores(MODEL, tally, microseconds(moment))

    expected = scores_from_scratch(MODEL_DOCUMENT, history, moment)
    assert {name: abs(float(value) - expected[name]) < 1e-9 for name, value in exact.items()} == dict.fromkeys(
        expected, True
    )


def test_a_tie_is_rounded_to_even_however_floats_add_up() -> None:
    model = a_model(a_rule("page_viewed", 0.1), a_rule("email_clicked", 0.025))
    events = [an_event("2026-03-01T10:00", "page_viewed"), an_event("2026-03-01T10:00", "email_clicked")]
    tally = tally_of(model, a_state(model, *events))

    scores = published_scores(model, tally, microseconds(at("2026-03-02T00:00")))

    assert list(scores.values()) == [0.12]


def test_the_digest_of_a_workspace_knows_no_order_but_every_lead() -> None:
    assert digest_of([b"a", b"b"]) == digest_of([b"b", b"a"])
    assert digest_of([b"a", b"a"]) != digest_of([b"a"])
