"""Which partition a key belongs to: the same answer as Kafka's default, whichever engine runs."""

from collections.abc import Sequence
from functools import lru_cache
from struct import unpack
from typing import Final

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF

_WORD_BYTES: Final = 4
# Below so many one after the other is as quick.
_FEWEST_TOGETHER: Final = 8


def partition_of(key: bytes, partitions: int) -> int:
    """The number of the partition, 0 to `partitions` - 1; stable as long as `partitions` is."""
    return (murmur2(key) & _POSITIVE) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The same for each of `keys`."""
    if len(keys) < _FEWEST_TOGETHER or not _are_of_whole_words(keys):
        return [partition_of(key, partitions) for key in keys]
    return [(state & _POSITIVE) % partitions for state in _together(keys)]


def _are_of_whole_words(keys: Sequence[bytes]) -> bool:
    """Whether all are as long as each other and end with a word, as digests do and the ids of leads."""
    first, *others = set(map(len, keys))
    return not others and first % _WORD_BYTES == 0


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


def _together(keys: Sequence[bytes]) -> Sequence[int]:
    """`murmur2` of keys of so many whole words each, all at once: one large integer has the state of each in 64 bits.

    What is below 2^32 stays below 2^64 when it is multiplied, so that no state runs into its neighbour.
    """
    count, length = len(keys), len(keys[0])
    each = length // _WORD_BYTES
    every = int.from_bytes(b"\x01\0\0\0\0\0\0\0" * count, "little")
    mask = every * _MASK
    words = memoryview(b"".join(keys)).cast("I")
    lanes = bytearray(8 * count)
    lower_halves = memoryview(lanes).cast("I")[::2]
    state = every * (_SEED ^ length)
    for place in range(each):
        lower_halves[:] = words[place::each]
        word = int.from_bytes(lanes, "little")
        word = (word * _MULTIPLIER) & mask
        word ^= (word >> 24) & (every * (_MASK >> 24))
        state = ((state * _MULTIPLIER) & mask) ^ ((word * _MULTIPLIER) & mask)
    state ^= (state >> 13) & (every * (_MASK >> 13))
    state = (state * _MULTIPLIER) & mask
    state ^= (state >> 15) & (every * (_MASK >> 15))
    return unpack(f"<{count}Q", state.to_bytes(8 * count, "little"))


def _mixed(word: int) -> int:
    word = (word * _MULTIPLIER) & _MASK
    return ((word ^ (word >> 24)) * _MULTIPLIER) & _MASK
