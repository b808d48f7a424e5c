"""Every kind of source, by name."""

from collections.abc import Mapping

from services.ingest.kinds import (
    activecampaign,
    brevo,
    calendly,
    cloudevents,
    customerio,
    hubspot,
    intercom,
    klaviyo,
    mailchimp,
    mailgun,
    mandrill,
    marketo,
    mautic,
    postmark,
    segment,
    sendgrid,
    standardwebhooks,
    typeform,
)
from services.ingest.kinds.kind import Kind

_MODULES: tuple[Kind, ...] = (
    activecampaign,
    brevo,
    calendly,
    cloudevents,
    customerio,
    hubspot,
    intercom,
    klaviyo,
    mailchimp,
    mailgun,
    mandrill,
    marketo,
    mautic,
    postmark,
    segment,
    sendgrid,
    standardwebhooks,
    typeform,
)
KINDS: Mapping[str, Kind] = {module.NAME: module for module in _MODULES}
