"""The leads that this process wrote last: taken from here, under the row's lock, while the row is as it was written.

Nothing is remembered before its transaction is committed, and nothing is believed that the row's mark does not
confirm. So it never matters whose memory is how old: another scorer, a merge or a rebuild leaves another mark.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec import Struct

from services.scorer import metrics
from services.scorer.domain.lead import Lead
from services.scorer.leads.repository import Mark

# Measured: a lead beside its state, and how much more its state, with what it amounts to, takes than encoded.
_LEAD_BYTES: Final = 1_500
_GROWTH: Final = 6
_MOST_BYTES: Final = 24_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction, yet to be committed, made of leads; `mark` is what it leaves on their rows.

    `sizes` are the bytes of their encoded states. `as_of` is how often leads had been forgotten before.
    """

    mark: Mark
    leads: Mapping[UUID, Lead]
    sizes: Mapping[UUID, int]
    as_of: int


class _Entry(Struct, frozen=True, gc=False):
    lead: Lead
    mark: Mark
    weight_bytes: int


class RememberedLeads:
    """Leads as this process left them, up to about `most_bytes`; those that were not asked for longest go first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        self._weight_bytes = 0
        self.forgotten = 0

    def find(self, lead_id: UUID, mark: Mark) -> Lead | None:
        """The lead, if its row, which bears `mark`, is still the one that was written here."""
        entry = self._entries.get(lead_id)
        if entry is None:
            return None
        if entry.mark != mark:
            self._drop(lead_id)
            return None
        self._entries.move_to_end(lead_id)
        return entry.lead

    def remember(self, written: Written) -> None:
        """Call once the transaction is committed.

        What it wrote before the last `forget` might be of a lead that is erased by now, so all of it is left out.
        """
        if written.as_of != self.forgotten:
            return
        for lead_id, lead in written.leads.items():
            if lead_id in self._entries:
                self._drop(lead_id)
            weight_bytes = _LEAD_BYTES + _GROWTH * written.sizes[lead_id]
            self._entries[lead_id] = _Entry(lead, written.mark, weight_bytes)
            self._weight_bytes += weight_bytes
        while self._weight_bytes > self._most_bytes:
            _, entry = self._entries.popitem(last=False)
            self._weight_bytes -= entry.weight_bytes
        metrics.REMEMBERED.set(self._weight_bytes)

    def forget(self, ids: Collection[UUID]) -> None:
        """Keep these leads in memory no longer: they are erased."""
        self.forgotten += 1
        for lead_id in ids:
            self._drop(lead_id)
        metrics.REMEMBERED.set(self._weight_bytes)

    def _drop(self, lead_id: UUID) -> None:
        entry = self._entries.pop(lead_id, None)
        if entry is not None:
            self._weight_bytes -= entry.weight_bytes
