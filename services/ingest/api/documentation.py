"""The request body of the events API as OpenAPI shows it; FastAPI cannot derive it from raw bytes."""

from services.ingest.api.decoding import CLOUD_EVENT, CLOUD_EVENTS_BATCH, JSON

FORM = "application/x-www-form-urlencoded"
_TEXT = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_OBJECT = {"type": "object", "additionalProperties": True}
ITEM_SCHEMA: dict[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "type", "lead"],
    "properties": {
        "id": {**_TEXT, "minLength": 1, "maxLength": 512, "description": "Unique within its source, for ever."},
        "source": {**_OPTIONAL, "default": "api", "maxLength": 128, "description": "Whose id it is."},
        "type": {**_TEXT, "pattern": "^[a-z][a-z0-9_]{0,63}$", "description": "What happened."},
        "occurred_at": {
            **_OPTIONAL,
            "format": "date-time",
            "description": "When, with its zone; default and latest: the time of receipt.",
        },
        "lead": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "description": "Who: at least one name.",
            "properties": {
                "email": {**_OPTIONAL, "description": "An address of the lead."},
                "external_ids": {
                    "type": ["object", "null"],
                    "additionalProperties": _TEXT,
                    "description": "Its id in each other system, by the name of the system.",
                },
                "anonymous_id": {**_OPTIONAL, "description": "A visitor's id, before it is known who that is."},
            },
        },
        "properties": {**_OBJECT, "description": "Facts about the event."},
        "attributes": {**_OBJECT, "description": "Facts about the lead. `email_domain` is set from the address."},
    },
}
_CLOUD_EVENT_SCHEMA: dict[str, object] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": _TEXT,
        "type": _TEXT,
        "time": {**_OPTIONAL, "format": "date-time"},
        "subject": _OPTIONAL,
        "data": _OBJECT,
    },
}
_EXAMPLE = {
    "id": "visit-7f3a",
    "type": "page_viewed",
    "occurred_at": "2026-01-31T09:30:00Z",
    "lead": {"email": "ann@example.com"},
    "properties": {"path": "/pricing"},
    "attributes": {"job_title": "Head of Operations"},
}
_CLOUD_EXAMPLE = {
    "specversion": "1.0",
    "id": "c-81",
    "source": "/webinars",
    "type": "webinar_attended",
    "time": "2026-01-31T09:30:00Z",
    "data": {"lead": {"email": "ann@example.com"}, "properties": {"webinar_id": "w-12"}},
}
REQUEST_BODY: dict[str, object] = {
    "required": True,
    "content": {
        JSON: {
            "schema": {"oneOf": [ITEM_SCHEMA, {"type": "array", "items": ITEM_SCHEMA}]},
            "examples": {"one": {"value": _EXAMPLE}, "several": {"value": [_EXAMPLE]}},
        },
        "application/x-ndjson": {"schema": {**_TEXT, "pattern": r"^\{", "description": "One such object a line."}},
        CLOUD_EVENT: {"schema": _CLOUD_EVENT_SCHEMA, "example": _CLOUD_EXAMPLE},
        CLOUD_EVENTS_BATCH: {"schema": {"type": "array", "items": _CLOUD_EVENT_SCHEMA}},
    },
}
EVENTS_DESCRIPTION = """\
One event, an array of them, newline-delimited JSON, or CloudEvents 1.0 (structured, batched, binary); up to
1,000 events or 5 MiB.

**202**: every item that is `accepted` is durable and will count once; send an item again with the same `id`
and `source` whenever you are not sure. **422** has the same body, when no item was accepted. **503** with
`not_accepted`: nothing happened; with `outcome_unknown`: it may have. Repeat both, with the same ids. **429**:
the key is ahead of its pace; `Retry-After` says when to come again.

Bodies may come as gzip or deflate; what they unpack to counts. A refused item is kept byte for byte, before
the answer, and can be tried again: `GET /v1/parked`.

An address that several people read (`info@`, `sales@` ...) names its lead only where nothing else does; beside
another name it becomes the attribute `shared_mailbox`.

`score_adjusted` needs `properties.score`, `points`, `reason` and `actor`; `score_reset` needs
`properties.score`; `event_voided` needs `properties.event_id` and takes back that event of the same `source`.

Of a CloudEvent, `type` is the engagement type, or is mapped to one by the `event_names` of the webhook source
named like its `source`; `data.lead` (as above), `data.email` or a `subject` that is an address tell who;
`data.properties`, or else what `data` holds besides, become the properties.
"""
WEBHOOK_DESCRIPTION = """\
Where a platform sends its webhooks. The signature is checked over the raw bytes before anything is parsed; an
unknown source and a wrong signature get the same 401. Platforms that sign nothing (activecampaign, brevo,
cloudevents, mailchimp, marketo, postmark) bring the source's secret along: as `?token=`, `?secret=` or
`?access_token=`, by Basic authentication (the secret is `user:password` or the password), as a bearer token, or
in any header whose name begins with `X-`. Each element of the body ends as `accepted`, `ignored`
(recorded, but of a type that models give no points for), `parked` (an unknown type, or nobody's) or `refused`.
Trouble on our side is a 503, after which platforms send again; to `mautic`, which takes any answer for the end,
it is one that breaks off.
"""
LOOK_DESCRIPTION = """\
Some platforms look before they save a URL, and find the same nothing under every name. For kinds that can
deliver by GET (`marketo`) a request with parameters is a delivery, answered like one by POST.
"""
HANDSHAKE_DESCRIPTION = """\
How CloudEvents senders ask before they deliver (HTTP Webhook, section 4). Whoever names itself in
`WebHook-Request-Origin` is allowed, at the rate it asks for; a delivery still needs the secret of its source. The
answer is the same for every name. A `WebHook-Request-Callback` is never called, because the answer is here.
"""
WEBHOOK_BODY: dict[str, object] = {
    "required": True,
    "description": "Whatever the platform sends, byte for byte.",
    "content": {JSON: {"schema": {}}, FORM: {"schema": {}}},
}
