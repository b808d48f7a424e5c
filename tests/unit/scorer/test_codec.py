"""A stored state comes back as it was."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from pydantic_core import from_json, to_json

from services.scorer.domain.codec import decode_state, encode_state
from services.scorer.domain.folding import fold
from shared.errors import InvalidInput
from shared.events.curve import microseconds
from shared.events.json import Json
from tests.support.builders import a_state, an_event_on_the_wire
from tests.unit.scorer.histories import MODEL, histories, moments


@given(histories(), moments())
def test_a_state_survives_being_stored(history: list[dict[str, Any]], horizon: datetime) -> None:
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))
    folded = fold(MODEL, state, microseconds(horizon))

    assert decode_state(from_json(to_json(encode_state(state)))) == state
    assert decode_state(from_json(to_json(encode_state(folded)))) == folded


@pytest.mark.parametrize("document", [None, [], [1, [], [], [], [], [], []], {"form": 1}], ids=repr)
def test_another_form_is_refused(document: Json) -> None:
    with pytest.raises(InvalidInput):
        decode_state(document)
