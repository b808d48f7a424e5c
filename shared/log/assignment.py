"""Who reads what: every member computes the same shares from the same list of members."""

from collections.abc import Iterable, Mapping

from shared.log.protocol import Partition


def assign(partitions: Iterable[Partition], members: Mapping[str, frozenset[str]]) -> dict[str, frozenset[Partition]]:
    """The partitions of each member; `members` maps a name to the topics it reads.

    Each partition that somebody reads goes to exactly one reader, the one with the fewest so far; ties go
    by name. With equal subscriptions no two members differ by more than one.
    """
    shares: dict[str, set[Partition]] = {name: set() for name in sorted(members)}
    for partition in sorted(partitions):
        readers = [name for name in shares if partition.topic in members[name]]
        if readers:
            shares[min(readers, key=lambda name: len(shares[name]))].add(partition)
    return {name: frozenset(share) for name, share in shares.items()}
