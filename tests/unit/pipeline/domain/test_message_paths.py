"""Filters name only what the messages can have."""

import pytest

from services.pipeline.domain.message_paths import check_paths
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES
from shared.errors import InvalidDocument


@pytest.mark.parametrize("kind", DELIVERED_TYPES)
def test_every_message_has_what_it_is_about(kind: str) -> None:
    check_paths(["type", "subject", "data.lead.id", "data.lead.external_ids.hubspot", "data.sequence"], [kind])


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("data.to_stage", id="a field of one type among them"),
        pytest.param("data.previous.bands.total", id="what may be null, and below it any name"),
        pytest.param("data.attributes.address.country", id="anything below what people give"),
        pytest.param("data.thresholds.hot.position", id="a field below any name"),
    ],
)
def test_a_path_that_a_message_can_have_is_taken(path: str) -> None:
    check_paths([path], DELIVERED_TYPES)


@pytest.mark.parametrize(
    ("path", "types", "words"),
    [
        (
            "data.to_stge",
            ["lead.stage_changed"],
            r"has data.to_stge; there are data.\w+, .*data.to_stage.*: did you mean to_stage\?$",
        ),
        ("data.to_stage", ["lead.stalled"], r"there are data.\w+, .*data.stage.*: did you mean stage\?$"),
        ("to_stage", DELIVERED_TYPES, "has to_stage; there are data, datacontenttype, id, source"),
        ("data.thresholds.hot.postion", DELIVERED_TYPES, r"data.thresholds.hot.position.*: did you mean position\?$"),
        ("subject.id", DELIVERED_TYPES, "has subject.id$"),
        ("data.lead.emails.first", DELIVERED_TYPES, "has data.lead.emails.first$"),
    ],
)
def test_a_path_that_no_message_has_is_refused_with_those_there_are(path: str, types: list[str], words: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        check_paths(["type", path], types)

    assert [fault.path for fault in refused.value.faults] == [f"filter.{path}"]
    assert refused.match(words)
