"""A stored state comes back as it was."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from services.scorer.domain.assessment import Told
from services.scorer.domain.codec import decode_state, decode_told, encode_state, encode_told
from services.scorer.domain.counting.folding import fold
from services.scorer.domain.states.state import (
    AdjustedSum,
    Adjustment,
    EventKey,
    Fact,
    LeadState,
    LimitKey,
    Occurrence,
    PeriodKey,
    Portion,
    Reset,
    RuleKey,
    RuleSum,
    Settled,
)
from shared.errors import InvalidInput
from shared.events.curve import microseconds
from shared.events.scores import Standing
from tests.support.builders import a_state, an_event_on_the_wire
from tests.support.jsonb import as_postgresql
from tests.unit.scorer.histories import MODEL, histories, moments

ONE = Occurrence(1767225600000000, "e1", "web", "page_viewed")
TWO = Occurrence(1767225600000001, 'é"\\', "crm", "form_submitted")
SOMETHING_OF_EVERYTHING = LeadState(
    occurrences={LimitKey("fit", "x", ""): (ONE,), LimitKey("engagement", "page", '"c1"'): (ONE, TWO)},
    adjustments=(
        Adjustment(
            *ONE,
            score="engagement",
            points=-2.5,
            half_life_us=None,
            expires_after_days=30,
            actor="kim",
            reason="called",
        ),
    ),
    facts={
        "size": (Fact(*ONE, 10), Fact(*TWO, 10.5)),
        "about": (Fact(*ONE, {"a": [True, None, "é", 2**63 - 1, -0.0]}),),
    },
    resets=(Reset(*TWO, score="engagement"),),
    voided=frozenset({EventKey("web", "v1"), EventKey("crm", "v0"), EventKey("web", "v2")}),
    settled=(
        Settled(
            until_us=5,
            sums={
                RuleKey("engagement", "page"): RuleSum(
                    (Portion(1.0, 2, 3, None, 4),), (Portion(0.1, -2, None, 9, 1),), ONE
                ),
                RuleKey("engagement", "old"): RuleSum((), (), None),
            },
            limits={
                PeriodKey(LimitKey("engagement", "page", ""), 20455): 3,
                PeriodKey(LimitKey("engagement", "page", ""), 20454): 1,
            },
            forgotten=b"\x00\xff",
            adjusted=(AdjustedSum("engagement", 7.0, Portion(7.0, 1, None, None, 2), TWO),),
            resets=(Reset(*ONE, score="fit"),),
            voided=frozenset({EventKey("web", "v2")}),
        ),
    ),
)
# As the first release with this form wrote it.
ITS_BYTES = (
    r'[2,[["engagement","page","\"c1\"",[[1767225600000000,"e1","web","page_viewed"],'
    r'[1767225600000001,"é\"\\","crm","form_submitted"]]],'
    r'["fit","x","",[[1767225600000000,"e1","web","page_viewed"]]]],'
    r'[[[1767225600000000,"e1","web","page_viewed"],"engagement",-2.5,null,30,"kim","called"]],'
    r'[["about",[[[1767225600000000,"e1","web","page_viewed"],{"a":[true,null,"é",9223372036854775807,-0.0]}]]],'
    r'["size",[[[1767225600000000,"e1","web","page_viewed"],10],'
    r'[[1767225600000001,"é\"\\","crm","form_submitted"],10.5]]]],'
    r'[[[1767225600000001,"é\"\\","crm","form_submitted"],"engagement"]],[["crm","v0"],["web","v1"]],'
    r'[[5,[["engagement","old",[],[],null],["engagement","page",[[1.0,2,3,null,4]],[[0.1,-2,null,9,1]],'
    r'[1767225600000000,"e1","web","page_viewed"]]],[["engagement","page","",20454,1],["engagement","page","",20455,3]],'
    r'"00ff",[["engagement",7.0,[7.0,1,null,null,2],[1767225600000001,"é\"\\","crm","form_submitted"]]],'
    r'[[[1767225600000000,"e1","web","page_viewed"],"fit"]],[["web","v2"]]]]]'
).encode()


TOLD = Told(
    at=datetime(2026, 1, 23, 23, 56, 39, 287895, UTC),
    standing=Standing(scores={"engagement": 0.5, "total": -1.0}, bands={"total": "cold", "fit": None}, grade="C3"),
    positions={"hot": "below"},
)
ITS_TEXT = (
    b'{"at":"2026-01-23T23:56:39.287895Z","standing":{"scores":{"engagement":0.5,"total":-1.0},'
    b'"bands":{"total":"cold","fit":null},"grade":"C3"},"positions":{"hot":"below"}}'
)


@given(histories(), moments())
def test_a_state_survives_being_stored(history: list[dict[str, Any]], horizon: datetime) -> None:
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))
    folded = fold(MODEL, state, microseconds(horizon))

    assert decode_state(encode_state(state)) == state
    assert decode_state(encode_state(folded)) == folded
    assert decode_state(as_postgresql(encode_state(folded))) == folded


def test_releases_read_what_others_wrote() -> None:
    assert encode_state(SOMETHING_OF_EVERYTHING) == ITS_BYTES
    assert decode_state(ITS_BYTES) == SOMETHING_OF_EVERYTHING
    assert decode_state(as_postgresql(ITS_BYTES)) == SOMETHING_OF_EVERYTHING
    assert encode_told(TOLD) == ITS_TEXT
    assert decode_told(ITS_TEXT) == decode_told(as_postgresql(ITS_TEXT)) == TOLD


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"[1,[],[],[],[],[],[]]", b"[2,[],[],[],[],[],[],[]]", b'{"form":1}'], ids=repr
)
def test_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_state(body)
