"""What one person does, written down in order, as the systems of a marketing department see it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from random import Random

from services.demo.company import Person
from shared.events.json import Json

_DAY_BEGINS, _DAY_ENDS = 7, 16
_SATURDAY = 5


class Channel(StrEnum):
    """The system that tells leadflow of a deed, and so the form in which it does."""

    SITE = "segment"
    MAIL = "sendgrid"
    FORM = "typeform"
    MEETING = "calendly"
    CRM = "hubspot"
    PRODUCT = "standardwebhooks"
    API = "api"
    ENRICHMENT = "enrichment"
    IMPORT = "import"
    WEBINAR = "webinar"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a person did, or that was done about it, in the words of one system.

    `told_at` is when the system tells of it: hours or days after `at` for what comes late.
    """

    id: str
    at: datetime
    told_at: datetime
    channel: Channel
    what: str
    person: Person
    facts: Mapping[str, Json]


class Diary:
    """Writes one person's deeds; its time moves only forward, and what would come after `until` is not written."""

    def __init__(self, person: Person, *, seed: int, begin: datetime, until: datetime) -> None:
        self.person = person
        self.random = Random(f"story/{seed}/{person.number}")
        self.deeds: list[Deed] = []
        self.now = begin
        self._begin = begin
        self._until = until
        self._seed = seed
        self._known = False

    def likely(self, probability: float) -> bool:
        """Whether it happens this time."""
        return self.random.random() < probability

    def moment_of(self, day: int, hour: int) -> datetime:
        """`hour` (UTC) of the `day`-th day of the story."""
        return (self._begin + timedelta(days=day)).replace(hour=hour, minute=0, second=0, microsecond=0)

    def days_later(self, least: float, most: float) -> None:
        """Let some days pass, to a moment of a working day."""
        self._pass(timedelta(days=self.random.uniform(least, most)))
        hour = self.random.uniform(_DAY_BEGINS, _DAY_ENDS)
        morning = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        moment = morning + timedelta(seconds=round(hour * 3600))
        while moment < self.now or moment.weekday() >= _SATURDAY:
            moment += timedelta(days=1)
        self.now = moment

    def minutes_later(self, least: int, most: int) -> None:
        """Let some minutes pass."""
        self._pass(timedelta(seconds=self.random.randint(least * 60, most * 60)))

    def write(self, channel: Channel, what: str, **facts: Json) -> str:
        """A deed at the present moment; returns its id."""
        return self.write_at(self.now, channel, what, **facts)

    def write_at(self, at: datetime, channel: Channel, what: str, **facts: Json) -> str:
        """A deed at `at`, which the person's own time does not depend on: a mailing, a webinar."""
        deed_id = sha256(f"{self._seed}/{self.person.number}/{len(self.deeds)}".encode()).hexdigest()[:24]
        if self._begin <= at <= self._until:
            self.deeds.append(Deed(deed_id, at, at, channel, what, self.person, facts))
        return deed_id

    def visit(self, *paths: str) -> None:
        """Look at pages, a few minutes each."""
        for path in paths:
            self.write(Channel.SITE, "page", known=self._known, properties={"path": path})
            self.minutes_later(1, 4)

    def track(self, event: str, **facts: Json) -> None:
        """Do something on the site that its authors have given a name."""
        self.write(Channel.SITE, "track", known=self._known, event=event, properties=facts)
        self.minutes_later(1, 3)

    def identify(self) -> None:
        """Say who is behind the browser: from here on the visits before are this person's."""
        self._known = True
        self.write(Channel.SITE, "identify", known=True)
        self.minutes_later(1, 3)

    def _pass(self, time: timedelta) -> None:
        self.now += timedelta(seconds=round(time.total_seconds()))
