"""What every message carries."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from shared.events.envelope import message_id
from shared.events.topics import TOPICS, TopicSpec

OURS = UUID("6a1f0c52-5b51-5f0e-9a3c-0f2f3f3d8c11")


@given(topic=st.sampled_from(sorted(TOPICS, key=lambda topic: topic.name)), lead=st.uuids(), sequence=st.integers(1))
def test_an_id_is_the_uuid_that_follows_from_topic_lead_and_number(
    topic: TopicSpec, lead: UUID, sequence: int
) -> None:
    assert message_id(topic, str(lead), sequence) == str(uuid5(OURS, f"{topic.name}/{lead}/{sequence}"))
