"""Every topic of leadflow, declared once; a name is spelled nowhere else."""

from dataclasses import dataclass

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What everybody must agree on about a topic.

    `retention_seconds` is how long records are kept at least; the log may drop older ones.
    """

    name: str
    partitions: int
    retention_seconds: int
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]


ENGAGEMENT_EVENTS = TopicSpec(
    name="engagement-events",
    partitions=8,
    retention_seconds=7 * _DAY,
    key="digest of workspace and strongest identity",
    producers=("ingest", "pipeline"),
    consumers=("scorer",),
)
LEAD_SCORES = TopicSpec(
    name="lead-scores",
    partitions=8,
    retention_seconds=7 * _DAY,
    key="lead id",
    producers=("scorer",),
    consumers=("pipeline",),
)
LEAD_THRESHOLDS = TopicSpec(
    name="lead-thresholds",
    partitions=8,
    retention_seconds=7 * _DAY,
    key="lead id",
    producers=("pipeline",),
    consumers=("subscribers",),
)
LEAD_STAGES = TopicSpec(
    name="lead-stages",
    partitions=8,
    retention_seconds=7 * _DAY,
    key="lead id",
    producers=("pipeline",),
    consumers=("subscribers",),
)
PARKED_ELEMENTS = TopicSpec(
    name="parked-elements",
    partitions=2,
    retention_seconds=7 * _DAY,
    key="digest of the element",
    producers=("ingest",),
    consumers=("ingest",),
)
TOPICS = (ENGAGEMENT_EVENTS, LEAD_SCORES, LEAD_THRESHOLDS, LEAD_STAGES, PARKED_ELEMENTS)


def dead_letters_of(topic: TopicSpec) -> TopicSpec:
    """Where records go that can never be handled: original bytes, with the reason in headers."""
    return TopicSpec(
        name=f"{topic.name}-dlq",
        partitions=1,
        retention_seconds=30 * _DAY,
        key=topic.key,
        producers=topic.consumers,
        consumers=("people",),
    )


DEAD_LETTER_TOPICS = tuple(dead_letters_of(topic) for topic in (ENGAGEMENT_EVENTS, LEAD_SCORES, PARKED_ELEMENTS))
ALL_TOPICS = (*TOPICS, *DEAD_LETTER_TOPICS)
