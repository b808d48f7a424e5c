"""Which partition a key belongs to: the same answer as Kafka's default, whichever engine runs."""

from functools import lru_cache

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The number of the partition, 0 to `partitions` - 1; stable as long as `partitions` is."""
    return (murmur2(key) & _POSITIVE) % partitions


# The hash costs more than encoding a record, and the keys of busy leads come again and again.
@lru_cache(maxsize=16_384)
def murmur2(data: bytes) -> int:
    """MurmurHash2 of 32 bits with the seed that Kafka's clients use, unsigned. Source: Austin Appleby, 2008."""
    whole = len(data) & ~3
    state = _SEED ^ len(data)
    for start in range(0, whole, 4):
        state = ((state * _MULTIPLIER) & _MASK) ^ _mixed(int.from_bytes(data[start : start + 4], "little"))
    if whole < len(data):
        state = ((state ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _MASK
    state = ((state ^ (state >> 13)) * _MULTIPLIER) & _MASK
    return state ^ (state >> 15)


def _mixed(word: int) -> int:
    word = (word * _MULTIPLIER) & _MASK
    return ((word ^ (word >> 24)) * _MULTIPLIER) & _MASK
