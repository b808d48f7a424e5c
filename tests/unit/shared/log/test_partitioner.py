"""Keys go where Kafka's own clients would put them."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from shared.log.partitioner import murmur2, partition_of, partitions_of


@given(key=st.binary(max_size=64), partitions=st.integers(1, 64))
def test_every_key_goes_where_an_independent_client_puts_it(key: bytes, partitions: int) -> None:
    numbers = list(range(partitions))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, numbers, numbers)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_one_of_kafkas_own_test_vectors(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(
    keys=st.integers(0, 12).flatmap(
        lambda words: st.lists(st.binary(min_size=4 * words, max_size=4 * words), max_size=40)
    ),
    others=st.lists(st.binary(max_size=40), max_size=2),
    partitions=st.integers(1, 64),
)
def test_many_keys_at_once_go_where_each_goes_alone(keys: list[bytes], others: list[bytes], partitions: int) -> None:
    together = [*keys, *others]

    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]
    assert partitions_of(together, partitions) == [partition_of(key, partitions) for key in together]
