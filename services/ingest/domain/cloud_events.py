"""CloudEvents 1.0 as events: what of the envelope and of `data` becomes which field.

| CloudEvent | event |
| --- | --- |
| `id`, `source` | `id`, `source` |
| `time` | `occurred_at`; absent: the time of receipt |
| `type` | `type`, by the mapping of the source, or as it is when it has the form of one; kept as `native_type` |
| `data.lead` (as in the events API), else `data.email`, else a `subject` that is an address | `lead` |
| `data.attributes` | `attributes` |
| `data.properties`, else all other fields of `data`; `subject` | `properties` |

Source: CloudEvents 1.0.2, core specification, JSON format and HTTP protocol binding.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from services.ingest.domain.draft import Draft, is_event_type
from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.domain.items import as_object, lead_names, parse_moment, text_or_none
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

_ENVELOPE_OF_DATA = frozenset({"lead", "email", "attributes"})
_JSON_CONTENT = re.compile(r"(application|text)/(json|[a-z0-9.+-]*\+json)", re.IGNORECASE)
_HEADER_PREFIX = "ce-"

TypeNames = Mapping[str, str]


def cloud_event_draft(event: Json, names_of: Mapping[str, TypeNames]) -> tuple[Draft, str]:
    """The draft of a structured CloudEvent, and its source. Raises InvalidInput naming the attribute.

    `names_of` gives, by source, which engagement type a CloudEvent type stands for.
    """
    attributes = as_object(event, None)
    if attributes.get("specversion") != "1.0":
        raise InvalidInput("must be 1.0", code="invalid_value", field="specversion")
    source = _required_text(attributes, "source")
    native_type = _required_text(attributes, "type")
    subject = text_or_none(attributes.get("subject"), "subject")
    # Before the data: what nobody knows cannot be wrong about them.
    engagement_type = _engagement_type(native_type, names_of.get(source, {}))
    data = _data(attributes)
    draft = Draft(
        id=_required_text(attributes, "id"),
        type=engagement_type,
        native_type=native_type,
        lead=_lead(data, subject),
        occurred_at=parse_moment(attributes.get("time"), "time"),
        properties=_properties(data, subject),
        attributes=as_object(data.get("attributes") or {}, "data.attributes"),
    )
    return draft, source


def from_headers(headers: Iterable[tuple[str, str]], data: Json) -> dict[str, Json]:
    """A CloudEvent in binary mode, brought to the structured form. Raises InvalidInput for a bad header."""
    event: dict[str, Json] = {
        name[len(_HEADER_PREFIX) :]: _header_value(name, value)
        for name, value in headers
        if name.startswith(_HEADER_PREFIX)
    }
    return event if data is None else {**event, "data": data}


def is_json_content(content_type: str) -> bool:
    """Whether a `datacontenttype` says JSON."""
    return _JSON_CONTENT.fullmatch(content_type.partition(";")[0].strip()) is not None


def _engagement_type(native_type: str, names: TypeNames) -> str:
    if native_type in names:
        return names[native_type]
    if is_event_type(native_type):
        return native_type
    raise InvalidInput(
        "is neither an engagement type (email_clicked) nor mapped to one by the source",
        code="unknown_type",
        field="type",
    )


def _data(attributes: Mapping[str, Json]) -> Mapping[str, Json]:
    content_type = text_or_none(attributes.get("datacontenttype"), "datacontenttype")
    if content_type is not None and not is_json_content(content_type):
        raise InvalidInput("must be JSON", code="invalid_value", field="datacontenttype")
    data = attributes.get("data")
    encoded = text_or_none(attributes.get("data_base64"), "data_base64")
    if encoded is not None:
        if data is not None or content_type is None:
            # Without a type of content these bytes may be anything.
            raise InvalidInput("must be JSON, and say so, beside no data", code="invalid_value", field="data_base64")
        data = _decoded(encoded)
    return {} if data is None else as_object(data, "data")


def _decoded(encoded: str) -> Json:
    try:
        return parse_json(base64.b64decode(encoded, validate=True))
    except (ValueError, InvalidInput) as error:
        raise InvalidInput("is not JSON in base64", code="invalid_value", field="data_base64") from error


def _lead(data: Mapping[str, Json], subject: str | None) -> LeadNames:
    if data.get("lead") is not None:
        return lead_names(data["lead"], "data.lead")
    email = text_or_none(data.get("email"), "data.email")
    if not email and subject and looks_like_email(subject):
        return LeadNames(email=subject)
    return LeadNames(email=email)


def _properties(data: Mapping[str, Json], subject: str | None) -> dict[str, Json]:
    given = data.get("properties")
    if given is not None:
        properties = dict(as_object(given, "data.properties"))
    else:
        properties = {name: value for name, value in data.items() if name not in _ENVELOPE_OF_DATA}
        properties.pop("properties", None)
    if subject and not looks_like_email(subject):
        properties.setdefault("subject", subject)
    return properties


def _header_value(name: str, value: str) -> str:
    """Percent-decoded once; quotes around it are tolerated."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise InvalidInput("is not UTF-8, percent-encoded", code="bad_header", field=name) from error


def _required_text(attributes: Mapping[str, Json], name: str) -> str:
    value = text_or_none(attributes.get(name), name)
    if not value:
        raise InvalidInput("is missing", code="missing", field=name)
    return value
