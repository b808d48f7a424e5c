"""Which lead an event speaks of: names brought to the one form in which they are compared."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache

from msgspec import Struct, field
from msgspec.structs import replace

from shared.errors import InvalidInput
from shared.events.accepting import AcceptedNames

# RFC 5321 lengths; longer ones are no addresses, and decoding their domains takes quadratic time.
_LONGEST_EMAIL = 254
_LONGEST_LOCAL_PART = 64
_DISPLAY_NAME = re.compile(r"[^<>]*<(?P<address>[^<>]*)>\s*")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NOT_IN_LOCAL_PART = re.compile(r'[\s<>,;:"()\[\]\\\x00-\x1f\x7f@]')
# What RFC 3490 takes for a full stop.
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,127}", re.ASCII)
_MOST_EXTERNAL_IDS = 20
_LONGEST_ID = 512
# Where IDNA 2008 keeps what Python's codec, which is of 2003, would make another domain.
_KEPT_BY_IDNA_2008 = re.compile("[\u00df\u03c2]")

# Local parts of addresses that several people read; most are those of RFC 2142.
SHARED_MAILBOXES = frozenset({
    "abuse", "accounting", "accounts", "admin", "administrator", "billing", "careers", "contact", "contacts",
    "do-not-reply", "donotreply", "enquiries", "feedback", "finance", "help", "helpdesk", "hostmaster", "hr", "info",
    "inquiries", "jobs", "kontakt", "mailer-daemon", "marketing", "no-reply", "no_reply", "noc", "noreply", "office",
    "orders", "postmaster", "press", "privacy", "reception", "root", "sales", "security", "service", "support",
    "team", "vertrieb", "webmaster",
})  # fmt: skip


class LeadNames(Struct, frozen=True, gc=False):
    """The names of a lead as somebody sent them."""

    email: str | None = None
    external_ids: Mapping[str, str] = field(default_factory=dict)
    anonymous_id: str | None = None


def identities(names: LeadNames) -> AcceptedNames:
    """The names as messages carry them. Raises InvalidInput: invalid_email, no_identity, and so on."""
    found = AcceptedNames(
        email=normalise_email(names.email) if names.email else None,
        external_ids=_external_ids(names.external_ids) if names.external_ids else {},
        anonymous_id=_anonymous_id(names.anonymous_id),
    )
    if not (found.email or found.external_ids or found.anonymous_id):
        raise InvalidInput(
            "names no lead: give email, external_ids or anonymous_id", code="no_identity", field="lead"
        )
    return found


def is_shared_mailbox(email: str, shared: Collection[str]) -> bool:
    """Whether several people read a normalised address: `shared` has its local part, or all of it.

    What follows a `+` sorts mail within a mailbox and makes no other one.
    """
    local, _, domain = email.rpartition("@")
    mailbox = local.partition("+")[0]
    return mailbox in shared or f"{mailbox}@{domain}" in shared


def apart_from_shared_mailbox(found: AcceptedNames, shared: Collection[str]) -> tuple[AcceptedNames, str | None]:
    """The names that tell who it is, and the shared mailbox that was among them.

    A shared mailbox is a lead of its own when nothing else names one. Beside another name it is a fact about
    that lead: taken as a name it would make all its readers one person, and nothing could part them again.
    The answer depends on this event alone, so the order of events cannot matter.
    """
    if found.email is None or not is_shared_mailbox(found.email, shared):
        return found, None
    others = replace(found, email=None)
    return (others, found.email) if others.keys() else (found, found.email)


def normalise_email(text: str) -> str | None:
    """The address in lower case, without display name, its domain in ASCII; None for an empty one.

    Raises InvalidInput for what cannot be an address. The local part is folded too: no mail system in use
    tells `Ann@` from `ann@`, and platforms disagree about which they send.
    """
    address = _bare_address(text)
    if not address:
        return None
    local, at, domain = address.rpartition("@")
    ascii_domain = _ascii_domain(domain) if at and len(address) <= _LONGEST_EMAIL else None
    if ascii_domain is None or not _is_local_part(local):
        raise InvalidInput("is not an e-mail address", code="invalid_email", field="lead.email")
    return f"{local}@{ascii_domain}"


def email_domain(email: str) -> str:
    """The domain of a normalised address."""
    return email.rpartition("@")[2]


def looks_like_email(text: str) -> bool:
    """Whether `text` is an address, for fields that hold one now and then."""
    try:
        return normalise_email(text) is not None
    except InvalidInput:
        return False


def _bare_address(text: str) -> str:
    if len(text) > 4 * _LONGEST_EMAIL:
        raise InvalidInput("is not an e-mail address", code="invalid_email", field="lead.email")
    named = _DISPLAY_NAME.fullmatch(text) if "<" in text else None
    address = named["address"] if named else text
    if address.isascii():
        return address.strip().lower()
    # By character: Python lowers a capital sigma by its place in the word, which is no matter of addresses.
    return "".join(character.lower() for character in unicodedata.normalize("NFC", address.strip()))


def _is_local_part(local: str) -> bool:
    return 0 < len(local) <= _LONGEST_LOCAL_PART and _NOT_IN_LOCAL_PART.search(local) is None


# Most leads of a site share a few domains.
@lru_cache(maxsize=4_096)
def _ascii_domain(domain: str) -> str | None:
    if domain.isascii():
        ascii_form = domain.removesuffix(".")
        return ascii_form if _DOMAIN.fullmatch(ascii_form) else None
    try:
        ascii_form = ".".join(_ascii_label(label) for label in _DOTS.split(domain.removesuffix(".")))
    except UnicodeError:
        return None
    return ascii_form if _DOMAIN.fullmatch(ascii_form) else None


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    if _KEPT_BY_IDNA_2008.search(label):
        return "xn--" + unicodedata.normalize("NFKC", label).encode("punycode").decode("ascii")
    return label.encode("idna").decode("ascii").lower()


def _external_ids(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > _MOST_EXTERNAL_IDS:
        raise InvalidInput(f"more than {_MOST_EXTERNAL_IDS} ids", code="invalid_value", field="lead.external_ids")
    return {_system(system): _id(value, f"lead.external_ids.{system[:40]}") for system, value in given.items()}


def _system(name: str) -> str:
    if _SYSTEM.fullmatch(name) is None:
        raise InvalidInput(
            "the name of a system has lower-case letters, digits and _.:- only",
            code="invalid_value",
            field=f"lead.external_ids.{name[:40]}",
        )
    return name


def _anonymous_id(value: str | None) -> str | None:
    return _id(value, "lead.anonymous_id") if value else None


def _id(value: str, path: str) -> str:
    text = value.strip()
    if not 0 < len(text) <= _LONGEST_ID:
        raise InvalidInput(f"must have 1 to {_LONGEST_ID} characters", code="invalid_value", field=path)
    return text
