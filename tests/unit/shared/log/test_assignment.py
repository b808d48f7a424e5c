"""The shares of a group: complete, disjoint, balanced, and the same for whoever computes them."""

from hypothesis import given
from hypothesis import strategies as st

from shared.log.assignment import assign
from shared.log.protocol import Partition

TOPICS = ("events", "scores", "stages")
PARTITIONS = st.sets(st.builds(Partition, st.sampled_from(TOPICS), st.integers(0, 11)))
MEMBERS = st.dictionaries(st.text(min_size=1, max_size=4), st.frozensets(st.sampled_from(TOPICS)), max_size=5)


def test_two_members_halve_eight_partitions() -> None:
    partitions = [Partition("events", number) for number in range(8)]

    shares = assign(partitions, {"a": frozenset({"events"}), "b": frozenset({"events"})})

    assert [len(share) for share in shares.values()] == [4, 4]


def test_a_member_gets_only_topics_that_it_reads() -> None:
    partitions = [Partition("events", 0), Partition("scores", 0)]

    shares = assign(partitions, {"a": frozenset({"events"}), "b": frozenset({"scores"})})

    assert shares == {"a": {Partition("events", 0)}, "b": {Partition("scores", 0)}}


@given(partitions=PARTITIONS, members=MEMBERS)
def test_every_partition_that_is_read_has_exactly_one_reader(
    partitions: set[Partition], members: dict[str, frozenset[str]]
) -> None:
    shares = assign(partitions, members)

    given_out = [partition for share in shares.values() for partition in share]
    read = frozenset[str]().union(*members.values())
    assert sorted(given_out) == sorted(partition for partition in partitions if partition.topic in read)


@given(partitions=PARTITIONS, names=st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=5))
def test_equal_subscriptions_differ_by_at_most_one(partitions: set[Partition], names: set[str]) -> None:
    shares = assign(partitions, dict.fromkeys(names, frozenset(TOPICS)))

    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(partitions=PARTITIONS, members=MEMBERS)
def test_the_order_of_what_is_given_does_not_matter(
    partitions: set[Partition], members: dict[str, frozenset[str]]
) -> None:
    backwards = dict(reversed(members.items()))

    assert assign(sorted(partitions), members) == assign(sorted(partitions, reverse=True), backwards)
