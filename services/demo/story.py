"""Two weeks of a market: what every sort of person does, and when. Pure, the same for a seed and an end.

The company whose story it is sells software for planning stock. A champion pushes for a purchase, an
evaluator compares, a student reads everything and buys nothing, a competitor looks at prices, a silent one
is on the mailing list, and a visitor never says who it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from services.demo.company import Person, Persona, people_of
from services.demo.diary import Channel, Deed, Diary
from shared.events.json import Json

SPAN: Final = timedelta(days=14)
_PAUSE_BEFORE_END: Final = timedelta(minutes=10)
_LATE_SHARE: Final = 0.04

_BLOG: Final = ("/blog/safety-stock", "/blog/abc-analysis", "/blog/lead-times", "/blog/forecast-error")
_PRODUCT: Final = ("/product", "/product/forecasting", "/product/replenishment", "/customers", "/integrations")
_GUIDES: Final = ("Safety stock in practice", "A buyer's guide to planning tools", "Forecasting for wholesalers")
_FEATURES: Final = ("forecast_run", "order_proposal", "import", "dashboard")
_USE_CASES: Final = ("less dead stock", "fewer stock-outs", "replace spreadsheets", "one plan for all warehouses")
_REPS: Final = ("amira@lagerlight.example", "joost@lagerlight.example", "petra@lagerlight.example")


@dataclass(frozen=True, slots=True)
class Mailing:
    """A mail to the whole list."""

    name: str
    day: int


@dataclass(frozen=True, slots=True)
class Webinar:
    """An hour to which people register beforehand."""

    id: str
    day: int


MAILINGS: Final = (
    *(Mailing("newsletter-1", 1), Mailing("customer-story", 4), Mailing("webinar-invitation", 8)),
    Mailing("newsletter-2", 11),
)
WEBINARS: Final = (Webinar("planning-101", 6), Webinar("ask-the-planner", 11))


def story_of(seed: int, until: datetime) -> list[Deed]:
    """Every deed of the two weeks that end at `until`, in the order in which leadflow is told of them."""
    begin = until - SPAN
    deeds: list[Deed] = []
    for person in people_of(seed):
        diary = Diary(person, seed=seed, begin=begin, until=until - _PAUSE_BEFORE_END)
        _STORIES[person.persona](diary)
        deeds += diary.deeds
    late = Random(f"late/{seed}")
    return sorted((_perhaps_late(deed, late, until) for deed in deeds), key=lambda deed: (deed.told_at, deed.id))


def _perhaps_late(deed: Deed, random: Random, until: datetime) -> Deed:
    """Browsers that were offline, queues that were stuck: some things are told days after they happened."""
    delay = timedelta(hours=random.randint(3, 96))
    if random.random() > _LATE_SHARE or deed.channel in {Channel.IMPORT, Channel.WEBINAR}:
        return deed
    return replace(deed, told_at=min(deed.at + delay, until))


def _champion(diary: Diary) -> None:
    diary.days_later(0, 3)
    diary.visit("/", diary.random.choice(_BLOG), "/product")
    diary.days_later(0.3, 1.2)
    diary.visit("/pricing", *diary.random.sample(_PRODUCT, 2))
    _becomes_known(diary)
    _enrichment(diary)
    _mails(diary)
    if diary.likely(0.5):
        _webinar(diary)
    diary.days_later(0.4, 1.5)
    diary.visit("/product/replenishment", "/pricing", "/pricing/enterprise")
    if diary.likely(0.85):
        _demo_request(diary)
        _meeting(diary)
    if diary.likely(0.6):
        _trial(diary, days=diary.random.randint(2, 5))
    if diary.likely(0.7):
        _deal(diary)


def _evaluator(diary: Diary) -> None:
    on_list = diary.likely(0.5)
    if on_list:
        _imported(diary)
        _mails(diary)
    diary.days_later(0, 8)
    diary.visit("/", *diary.random.sample(_PRODUCT, diary.random.randint(1, 3)))
    if diary.likely(0.6):
        diary.days_later(0.5, 2)
        diary.visit("/pricing", diary.random.choice(_BLOG))
    if diary.likely(0.75):
        _becomes_known(diary)
        _enrichment(diary)
    if diary.likely(0.3):
        _webinar(diary)
    if diary.likely(0.3):
        _trial(diary, days=diary.random.randint(1, 3))
    if diary.likely(0.15):
        _demo_request(diary)
        _meeting(diary)


def _silent(diary: Diary) -> None:
    _imported(diary)
    _mails(diary)
    if diary.likely(0.12):
        diary.days_later(1, 11)
        diary.visit(diary.random.choice(_BLOG))
        diary.identify()
    if diary.likely(0.04):
        diary.days_later(0.1, 2)
        _adjustment(diary)


def _student(diary: Diary) -> None:
    diary.days_later(0, 9)
    diary.visit(*diary.random.sample(_BLOG, 3), "/product")
    _becomes_known(diary)
    for guide in diary.random.sample(_GUIDES, 2):
        diary.days_later(0.1, 0.8)
        diary.track("Guide Downloaded", title=guide)
    if diary.likely(0.5):
        _webinar(diary)
    if diary.likely(0.5):
        diary.visit("/careers", "/careers/internships")


def _competitor(diary: Diary) -> None:
    diary.days_later(0, 6)
    diary.visit("/pricing", *_PRODUCT, "/pricing/enterprise")
    _becomes_known(diary)
    _trial(diary, days=2)
    diary.days_later(0.2, 1)
    diary.visit("/pricing", "/integrations")


def _visitor(diary: Diary) -> None:
    diary.days_later(0, 12)
    if diary.likely(0.3):
        diary.track("Cookie Banner Closed")
    diary.visit("/", *diary.random.sample((*_BLOG, *_PRODUCT), diary.random.randint(0, 3)))
    if diary.likely(0.25):
        diary.days_later(0.3, 3)
        diary.visit("/pricing")


_STORIES: Final[Mapping[Persona, Callable[[Diary], None]]] = {
    Persona.CHAMPION: _champion,
    Persona.EVALUATOR: _evaluator,
    Persona.SILENT: _silent,
    Persona.STUDENT: _student,
    Persona.COMPETITOR: _competitor,
    Persona.VISITOR: _visitor,
}


def _imported(diary: Diary) -> None:
    """Was on the list before the two weeks began, as an export of the old system says."""
    diary.write(Channel.IMPORT, "contact_created", attributes=_about(diary.person))


def _becomes_known(diary: Diary) -> None:
    """Fetches a guide and says who it is; the CRM opens a contact and soon after learns the address."""
    guide = diary.random.choice(_GUIDES)
    diary.track("Guide Downloaded", title=guide)
    diary.write(Channel.FORM, "guide", name=diary.person.name, job_title=diary.person.title)
    diary.identify()
    diary.write(Channel.CRM, "contact.creation")
    diary.minutes_later(1, 5)
    diary.write(Channel.CRM, "contact.propertyChange", name="email", value=diary.person.email)


def _enrichment(diary: Diary) -> None:
    """A data provider knows the firm."""
    diary.minutes_later(10, 50)
    diary.write(Channel.ENRICHMENT, "contact_enriched", attributes=_about(diary.person))


def _about(person: Person) -> dict[str, Json]:
    firm = person.firm
    return {
        "name": person.name,
        "job_title": person.title,
        "company": firm.name,
        "industry": firm.industry,
        "country": firm.country,
        "employees": firm.employees,
    }


def _mails(diary: Diary) -> None:
    """Whatever the list gets from now on, until an address fails or its owner has had enough."""
    interest = {Persona.CHAMPION: 0.8, Persona.EVALUATOR: 0.5}.get(diary.person.persona, 0.25)
    for mailing in MAILINGS:
        sent_at = diary.moment_of(mailing.day, hour=7) + timedelta(seconds=diary.person.number)
        if sent_at < diary.now:
            continue
        if diary.likely(0.012):
            diary.write_at(sent_at, Channel.MAIL, "bounce", mailing=mailing.name)
            return
        diary.write_at(sent_at, Channel.MAIL, "delivered", mailing=mailing.name)
        if not _reacts(diary, mailing, sent_at, interest):
            return


def _reacts(diary: Diary, mailing: Mailing, sent_at: datetime, interest: float) -> bool:
    """Whether the person stays on the list."""
    if diary.likely(0.15):
        diary.write_at(sent_at + timedelta(seconds=4), Channel.MAIL, "open", mailing=mailing.name, machine=True)
    if not diary.likely(interest):
        return True
    opened_at = sent_at + timedelta(minutes=diary.random.randint(3, 600))
    diary.write_at(opened_at, Channel.MAIL, "open", mailing=mailing.name)
    if diary.likely(interest / 2):
        url = f"https://www.lagerlight.example{diary.random.choice(_BLOG)}"
        diary.write_at(opened_at + timedelta(minutes=1), Channel.MAIL, "click", mailing=mailing.name, url=url)
    if diary.likely(0.03):
        what = "spamreport" if diary.likely(0.2) else "unsubscribe"
        diary.write_at(opened_at + timedelta(minutes=2), Channel.MAIL, what, mailing=mailing.name)
        return False
    return True


def _webinar(diary: Diary) -> None:
    """Registers for the next webinar, and often comes."""
    for webinar in WEBINARS:
        begins_at = diary.moment_of(webinar.day, hour=13)
        if begins_at > diary.now:
            diary.track("Webinar Registered", webinar_id=webinar.id)
            if diary.likely(0.7):
                diary.write_at(begins_at, Channel.WEBINAR, "webinar_attended", webinar_id=webinar.id)
            return


def _demo_request(diary: Diary) -> None:
    diary.minutes_later(1, 3)
    budget = diary.random.choice((4000, 12000, 18000, 30000, 60000))
    months = diary.random.choice((1, 3, 3, 6, 12))
    use_case = diary.random.choice(_USE_CASES)
    diary.write(
        Channel.FORM, "demo", name=diary.person.name, budget=budget, timeline_months=months, use_case=use_case
    )
    diary.identify()
    diary.track("Demo Requested")


def _meeting(diary: Diary) -> None:
    """Books a call; most take place, some are moved, called off or forgotten."""
    diary.minutes_later(5, 40)
    meeting_id = diary.write(Channel.MEETING, "invitee.created", meeting="Product demo")
    diary.days_later(0.5, 1.5)
    if diary.likely(0.15):
        diary.write(Channel.MEETING, "invitee.canceled", booking=meeting_id)
        return
    if diary.likely(0.12):
        diary.write(Channel.MEETING, "invitee_no_show.created", booking=meeting_id)
        return
    _held(diary)


def _held(diary: Diary) -> None:
    """What the salesperson writes down after the call."""
    rep = diary.random.choice(_REPS)
    diary.minutes_later(30, 60)
    diary.write(Channel.API, "meeting_held", properties={"actor": rep, "minutes": 30})
    diary.minutes_later(2, 9)
    diary.write(Channel.API, "note_added", properties={"actor": rep, "text": "Plans stock in spreadsheets today."})
    if diary.likely(0.6):
        confirmed: dict[str, Json] = {"criterion": "authority", "actor": rep, "note": "Signs up to 50 k"}
        diary.write(Channel.API, "criterion_confirmed", properties=confirmed)
    if diary.likely(0.12):
        _wrong_entry(diary, rep)


def _wrong_entry(diary: Diary, rep: str) -> None:
    """Logs a second call on the wrong lead, and takes it back."""
    diary.minutes_later(3, 9)
    wrong = diary.write(Channel.API, "meeting_held", properties={"actor": rep, "minutes": 45})
    diary.minutes_later(3, 9)
    diary.write(Channel.API, "event_voided", properties={"event_id": wrong, "actor": rep, "reason": "wrong lead"})


def _trial(diary: Diary, *, days: int) -> None:
    """Tries the product, a few things a day, and perhaps brings a colleague."""
    diary.days_later(0.1, 1)
    diary.write(Channel.PRODUCT, "trial.started", plan="trial-14")
    for _ in range(days):
        diary.minutes_later(3, 30)
        for feature in diary.random.sample(_FEATURES, diary.random.randint(1, 3)):
            diary.write(Channel.PRODUCT, "feature.used", feature=feature)
            diary.minutes_later(2, 20)
        diary.days_later(0.4, 1)
    if diary.likely(0.35):
        diary.write(Channel.PRODUCT, "colleague.invited", role="planner")


def _deal(diary: Diary) -> None:
    """The CRM moves the deal along, as far as the two weeks reach."""
    rep = diary.random.choice(_REPS)
    amount = diary.random.choice((9600, 14400, 24000, 36000, 58000))
    close_date = (diary.now + timedelta(days=40)).date().isoformat()
    diary.days_later(0.2, 1)
    deal: dict[str, Json] = {
        "owner": rep,
        "actor": rep,
        "amount": amount,
        "currency": "EUR",
        "close_date": close_date,
    }
    diary.write(Channel.API, "stage_changed", source="crm", properties={"stage": "proposal", "actor": rep, **deal})
    if diary.likely(0.55):
        diary.days_later(0.3, 1.5)
        diary.write(Channel.API, "stage_changed", source="crm", properties={"stage": "negotiation", "actor": rep})
        _decision(diary, rep)


def _decision(diary: Diary, rep: str) -> None:
    if not diary.likely(0.6):
        return
    diary.days_later(0.3, 1.5)
    won = diary.likely(0.6)
    ending: dict[str, Json] = {"stage": "won"} if won else {"stage": "lost", "reason": "chose to wait a year"}
    diary.write(Channel.API, "stage_changed", source="crm", properties={"actor": rep, **ending})
    if not won:
        diary.minutes_later(5, 20)
        reset: dict[str, Json] = {"score": "engagement", "actor": rep, "reason": "starts over next year"}
        diary.write(Channel.API, "score_reset", properties=reset)


def _adjustment(diary: Diary) -> None:
    """A salesperson has met somebody and knows more than any rule."""
    adjusted: dict[str, Json] = {"score": "engagement", "points": 15, "half_life": "30d"}
    words: dict[str, Json] = {"actor": diary.random.choice(_REPS), "reason": "long talk at the fair in Hannover"}
    diary.write(Channel.API, "score_adjusted", properties={**adjusted, **words})
