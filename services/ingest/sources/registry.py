"""Every kind of source, by name."""

from collections.abc import Mapping

from services.ingest.sources import (
    calendly,
    customerio,
    hubspot,
    intercom,
    klaviyo,
    segment,
    sendgrid,
    standardwebhooks,
    typeform,
)
from services.ingest.sources.kind import Kind

_MODULES: tuple[Kind, ...] = (
    calendly,
    customerio,
    hubspot,
    intercom,
    klaviyo,
    segment,
    sendgrid,
    standardwebhooks,
    typeform,
)
KINDS: Mapping[str, Kind] = {module.NAME: module for module in _MODULES}
