"""What all engines read: seeded records, the same on every machine, in two mixes of leads.

Times are told as so many microseconds before the run, so that the data can be pinned by its hash, and decay still
leaves something of them whenever they are read. The run makes records of them, as ingest writes them.
"""

import hashlib
import json
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Literal, TypeAlias
from uuid import UUID

from benchmarks.workload import properties
from shared.events.codec import encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, Identities, identity_digest

Mix: TypeAlias = Literal["uniform", "zipf"]
MIXES: tuple[Mix, ...] = ("uniform", "zipf")

EVENTS_A_LEAD = 25
_ZIPF = 1.1
_DUPLICATES, _LATE, _INVALID = 0.02, 0.05, 0.005
_DAY_US = 86_400 * 1_000_000
_SPREAD_US, _LATENESS_US, _LEAST_AGO_US = 30 * _DAY_US, 7 * _DAY_US, 60 * 1_000_000

# The data of one size and mix are these and no others; the first number is how many records.
PINNED: Mapping[tuple[int, Mix], str] = {
    (2_000, "uniform"): "a5d946050741feadadd20e68888226d59a81a49ceafd55a9967d8aeab2c7ad8a",
    (8_000, "uniform"): "5e192049229413f81191c7896805e83235c5f85199f88a17df2e784256853291",
    (40_000, "uniform"): "3e247cc0fc7a62746f6af06e5695fd9c490744c74d8152d1ea617901e8916c5c",
    (20_000, "uniform"): "22f5d207f2424575c2ca121ee19544c2d3927d9b47027db64b68a547ea3e740e",
    (2_000, "zipf"): "4a45552fdf702bf47bfd4e79a539f3def68f647f2d2ad879ca405aaa177bbce9",
    (8_000, "zipf"): "fcc6cf6106c51a429cc8fca1895690dc6c0cf0b4fc25a2a51f4e810fb3ca6655",
    (20_000, "zipf"): "203c2f0d22a8bb5e75590da31797555b6c587cc25ac42995dc7e940d018545f9",
    (40_000, "zipf"): "998d30038c6cc59dd00f1fc71c8c8d6577c9043ccd1d52e8d96cb313541b5e48",
}

# Of a thousand events; `session_ended` is one that no rule is about; every rule is about one of the others.
_TYPES: Mapping[str, int] = {
    "page_viewed": 520,
    "email_opened": 160,
    "feature_used": 110,
    "email_clicked": 70,
    "session_ended": 40,
    "form_submitted": 30,
    "content_downloaded": 20,
    "webinar_registered": 12,
    "webinar_attended": 8,
    "demo_requested": 8,
    "meeting_booked": 4,
    "meeting_no_show": 2,
    "bounced": 5,
    "unsubscribed": 4,
    "trial_started": 4,
    "email_replied": 2,
    "colleague_invited": 1,
}
# One in capitals: the rule about it does not mind.
_CLICKED = ("/offer", "/blog", "/Pricing")


@dataclass(frozen=True, slots=True)
class Made:
    """One record before it has a time of its own. `flaw` is what makes it invalid, if anything does."""

    id: str
    lead: int
    type: str
    ago_us: int
    received_ago_us: int
    properties: dict[str, Any]
    flaw: str | None = None

    def line(self) -> bytes:
        """The form that is hashed."""
        fields = [self.id, self.lead, self.type, self.ago_us, self.received_ago_us, self.properties, self.flaw]
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def made(events: int, mix: Mix, *, seed: int = 41) -> list[Made]:
    """`events` records over a twenty-fifth as many leads, oldest first but for the late ones."""
    random = Random(seed)  # noqa: S311 - a workload, not a secret
    leads, types = _leads(events, mix, random), list(_TYPES)
    upto = list(accumulate(_TYPES.values()))
    found: list[Made] = []
    for number in range(events):
        if found and random.random() < _DUPLICATES:
            found.append(found[random.randrange(max(0, number - 5000), number)])
            continue
        received_ago = _LEAST_AGO_US + (events - number) * (_SPREAD_US // events)
        late = random.randrange(_LATENESS_US) if random.random() < _LATE else 0
        kind = types[bisect(upto, random.random() * upto[-1])]
        found.append(
            Made(
                id=str(UUID(int=random.getrandbits(128), version=4)),
                lead=next(leads),
                type=kind,
                ago_us=received_ago + late,
                received_ago_us=received_ago,
                properties=properties(random, kind, clicked=_CLICKED),
                flaw=random.choice(("cut", "no time", "no name")) if random.random() < _INVALID else None,
            )
        )
    return found


def fingerprint(records: Sequence[Made]) -> str:
    """What pins them."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.line())
    return digest.hexdigest()


def pinned(events: int, mix: Mix) -> list[Made]:
    """The data of that size. Raises RuntimeError if they are not those that the pinned hash is of."""
    records = made(events, mix)
    known = PINNED.get((events, mix))
    if known is not None and fingerprint(records) != known:
        raise RuntimeError(f"{events} records, {mix}: not the data that earlier results are of")
    return records


def record(one: Made, as_of: datetime) -> tuple[bytes, bytes]:
    """Key and value as ingest writes them, for a run whose moment is `as_of`; an invalid one is made so here."""
    occurred = as_of - timedelta(microseconds=one.ago_us)
    event = EngagementEvent(
        id=one.id,
        source="web",
        type=one.type,
        native_type=None,
        occurred_at=occurred,
        received_at=as_of - timedelta(microseconds=one.received_ago_us),
        lead=Identities(email=f"lead.{one.lead}@example.com", external_ids={}, anonymous_id=None),
        properties=one.properties,
        attributes={},
    )
    key = identity_digest("default", event.lead)
    message = EngagementAccepted(
        id=event.id, source=event.source, subject=key, time=occurred, workspace="default", data=event
    )
    return key.encode(), _flawed(encode(message), one.flaw)


def _flawed(body: bytes, flaw: str | None) -> bytes:
    match flaw:
        case "cut":
            return body[: len(body) // 2]
        case "no time":
            return body.replace(b'"occurred_at":"', b'"occurred_at":"once, ')
        case "no name":
            head, data, rest = body.partition(b'"data":')
            return head + data + rest.replace(b'"type":"', b'"type":"No Such ', 1)
        case _:
            return body


def _leads(events: int, mix: Mix, random: Random) -> Iterator[int]:
    count = max(1, events // EVENTS_A_LEAD)
    if mix == "uniform":
        while True:
            yield random.randrange(count)
    upto = list(accumulate(1 / (number + 1) ** _ZIPF for number in range(count)))
    while True:
        yield bisect(upto, random.random() * upto[-1])
