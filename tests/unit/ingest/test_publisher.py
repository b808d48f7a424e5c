"""Two topics, one promise: nothing is told before both have it."""

from collections.abc import Sequence

import pytest

from services.ingest.publisher import Publisher, PublisherLimits
from shared.errors import InvalidInput, LogUnavailable
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Record

RECORD = Record(b"k", b"v")


class HalfALog(EmbeddedLog):
    """A log whose topics fail as a test says; the others remember what they took."""

    def __init__(self, failures: dict[str, Exception]) -> None:
        self.failures = failures
        self.taken: dict[str, int] = {}

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        if topic in self.failures:
            raise self.failures[topic]
        self.taken[topic] = self.taken.get(topic, 0) + len(records)


def away(*, outcome_unknown: bool) -> LogUnavailable:
    return LogUnavailable("away", outcome_unknown=outcome_unknown)


def publisher(log: HalfALog) -> Publisher:
    return Publisher(log, "events", PublisherLimits(10, 10_000), aside_topic="aside")


@pytest.mark.parametrize(
    ("records", "aside", "taken"),
    [([], [], {}), ([RECORD], [], {"events": 1}), ([], [RECORD], {"aside": 1}), ([RECORD] * 2, [RECORD], None)],
)
async def test_each_topic_gets_its_records(
    records: list[Record], aside: list[Record], taken: dict[str, int] | None
) -> None:
    log = HalfALog({})

    await publisher(log).publish(records, aside)

    assert log.taken == ({"events": 2, "aside": 1} if taken is None else taken)


@pytest.mark.parametrize(
    ("failures", "outcome_unknown"),
    [
        ({"events": away(outcome_unknown=False)}, True),
        ({"aside": away(outcome_unknown=False)}, True),
        ({"events": away(outcome_unknown=False), "aside": away(outcome_unknown=False)}, False),
        ({"events": away(outcome_unknown=True), "aside": away(outcome_unknown=False)}, True),
    ],
    ids=["events fail", "the others fail", "both fail for sure", "both fail, one perhaps"],
)
async def test_a_failure_says_that_nothing_happened_only_when_nothing_did(
    failures: dict[str, Exception], outcome_unknown: bool
) -> None:
    with pytest.raises(LogUnavailable) as failure:
        await publisher(HalfALog(failures)).publish([RECORD], [RECORD])

    assert failure.value.outcome_unknown is outcome_unknown


async def test_what_is_no_trouble_of_the_log_is_raised_as_it_is() -> None:
    failures: dict[str, Exception] = {"aside": InvalidInput("too large", code="record_too_large")}

    with pytest.raises(InvalidInput):
        await publisher(HalfALog(failures)).publish([RECORD], [RECORD])


async def test_what_is_put_aside_counts_against_what_may_wait() -> None:
    small = Publisher(HalfALog({}), "events", PublisherLimits(0, 10_000))

    with pytest.raises(LogUnavailable):
        await small.publish([], [RECORD])
