"""A deed in the words of the platform that tells of it. Pure: the same deeds give the same bytes for ever.

Forms: the platforms' public documentation of their webhooks, reduced to the fields that matter here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from services.demo.diary import Channel, Deed
from services.demo.posting import Flaw, Post
from shared.events.envelope import rfc3339
from shared.events.json import Json

PORTAL_ID: Final = 4_711_001
_SUBSCRIPTIONS: Final = {"contact.creation": 901, "contact.propertyChange": 902}
_CALENDLY: Final = "https://api.calendly.com"
_SITE: Final = "https://www.lagerlight.example"
_FORM_TITLES: Final = {"guide": "Fetch the guide", "demo": "See it with your own numbers"}
_ANSWER_KINDS: Final[Mapping[type, tuple[str, str]]] = {int: ("number", "number"), str: ("text", "short_text")}


def body_of(post: Post) -> bytes:
    """The body of the request, byte for byte."""
    elements = [*(element_of(deed) for deed in post.deeds), *post.spoilt]
    body = _joined(post.channel, elements)
    return body[: len(body) // 2] if post.flaw is Flaw.CUT_SHORT else body


def element_of(deed: Deed) -> bytes:
    """One deed within a body."""
    element = _ELEMENTS[deed.channel](deed)
    return json.dumps(element, ensure_ascii=False, separators=(",", ":")).encode()


def _joined(channel: Channel, elements: Sequence[bytes]) -> bytes:
    match channel:
        case Channel.MAIL | Channel.CRM | Channel.ENRICHMENT | Channel.WEBINAR:
            return b"[" + b",".join(elements) + b"]"
        case Channel.IMPORT:
            return b"\n".join(elements) + b"\n"
        case _ if len(elements) == 1:
            return elements[0]
        case _:
            return b"[" + b",".join(elements) + b"]"


def _segment(deed: Deed) -> Json:
    facts, person = deed.facts, deed.person
    element: dict[str, Json] = {
        "version": 1,
        "type": deed.what,
        "messageId": f"ajs-{deed.id}",
        "anonymousId": person.anonymous_id,
        "timestamp": rfc3339(deed.at),
    }
    if facts["known"]:
        element["userId"] = f"lagerlight-{person.number}"
    if deed.what == "identify":
        return {**element, "traits": {"email": person.email, "name": person.name}}
    if deed.what == "track":
        return {**element, "event": facts["event"], "properties": facts["properties"]}
    path = _text(facts["properties"], "path")
    return {**element, "name": path, "properties": {"path": path, "url": f"{_SITE}{path}"}}


def _sendgrid(deed: Deed) -> Json:
    mailing = _text(deed.facts, "mailing")
    element: dict[str, Json] = {
        "email": deed.person.email,
        "timestamp": _epoch(deed.at),
        "event": deed.what,
        "category": mailing,
        "sg_event_id": deed.id,
        "sg_message_id": f"{mailing}-{deed.person.number}.filter0042",
        "singlesend_name": mailing,
    }
    if deed.what == "bounce":
        return {**element, "type": "bounce", "status": "5.1.1", "reason": "550 no such mailbox"}
    if deed.what == "open":
        return {**element, "sg_machine_open": deed.facts.get("machine") is True}
    if deed.what == "click":
        return {**element, "url": deed.facts["url"]}
    return element


def _typeform(deed: Deed) -> Json:
    answers: list[Json] = [_answer(deed, reference, value) for reference, value in deed.facts.items()]
    email: Json = {
        "type": "email",
        "email": deed.person.email,
        "field": {"id": "mail", "type": "email", "ref": "email"},
    }
    return {
        "event_id": f"01{deed.id.upper()}",
        "event_type": "form_response",
        "form_response": {
            "form_id": deed.what,
            "token": deed.id,
            "landed_at": rfc3339(deed.at - timedelta(minutes=2)),
            "submitted_at": rfc3339(deed.at),
            "definition": {"id": deed.what, "title": _FORM_TITLES[deed.what]},
            "answers": [*answers, email],
        },
    }


def _answer(deed: Deed, reference: str, value: Json) -> Json:
    kind, field = _ANSWER_KINDS[type(value)]
    return {"type": kind, kind: value, "field": {"id": f"{deed.what}-{reference}", "type": field, "ref": reference}}


def _calendly(deed: Deed) -> Json:
    booking = deed.facts.get("booking") or deed.id
    meeting = f"{_CALENDLY}/scheduled_events/{booking}"
    return {
        "event": deed.what,
        "created_at": rfc3339(deed.at),
        "created_by": f"{_CALENDLY}/users/lagerlight",
        "payload": {
            "uri": f"{meeting}/invitees/{deed.person.anonymous_id}",
            "email": deed.person.email,
            "name": deed.person.name,
            "timezone": "Europe/Stockholm",
            "rescheduled": False,
            "old_invitee": None,
            "new_invitee": None,
            "scheduled_event": {
                "uri": meeting,
                "name": "Product demo",
                "start_time": rfc3339(deed.at + timedelta(days=1)),
                "event_memberships": [{"user_email": "sales@lagerlight.example"}],
            },
        },
    }


def _hubspot(deed: Deed) -> Json:
    element: dict[str, Json] = {
        "eventId": int(deed.id[:8], 16),
        "subscriptionId": _SUBSCRIPTIONS[deed.what],
        "portalId": PORTAL_ID,
        "appId": 20_261,
        "occurredAt": _epoch(deed.at) * 1000,
        "subscriptionType": deed.what,
        "attemptNumber": 0,
        "objectId": int(deed.person.hubspot_id),
    }
    if deed.what == "contact.creation":
        return {**element, "changeSource": "FORM", "changeFlag": "NEW"}
    return {**element, "propertyName": deed.facts["name"], "propertyValue": deed.facts["value"]}


def _product(deed: Deed) -> Json:
    data: dict[str, Json] = {"email": deed.person.email, "properties": dict(deed.facts)}
    return {"type": deed.what, "timestamp": rfc3339(deed.at), "data": data}


def _cloud_event(deed: Deed) -> Json:
    return {
        "specversion": "1.0",
        "id": deed.id,
        "source": "/lagerlight/webinars",
        "type": deed.what,
        "time": rfc3339(deed.at),
        "datacontenttype": "application/json",
        "data": {"lead": {"email": deed.person.email}, "properties": dict(deed.facts)},
    }


def _item(deed: Deed) -> Json:
    """An element of leadflow's own events API."""
    default = "api" if deed.channel is Channel.API else deed.channel.value
    item: dict[str, Json] = {
        "id": deed.id,
        "source": deed.facts.get("source", default),
        "type": deed.what,
        "occurred_at": rfc3339(deed.at),
        "lead": {"email": deed.person.email},
    }
    return item | {name: deed.facts[name] for name in ("properties", "attributes") if name in deed.facts}


_ELEMENTS: Final[Mapping[Channel, Callable[[Deed], Json]]] = {
    Channel.SITE: _segment,
    Channel.MAIL: _sendgrid,
    Channel.FORM: _typeform,
    Channel.MEETING: _calendly,
    Channel.CRM: _hubspot,
    Channel.PRODUCT: _product,
    Channel.API: _item,
    Channel.ENRICHMENT: _item,
    Channel.IMPORT: _item,
    Channel.WEBINAR: _cloud_event,
}


def _text(facts: Json | Mapping[str, Json], name: str) -> str:
    return str(facts[name]) if isinstance(facts, Mapping) else ""


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
