"""Which lead an event speaks of: names brought to the one form in which they are compared."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache

from msgspec import Struct

from shared.errors import InvalidInput
from shared.events.accepting import AcceptedNames

# RFC 5321 lengths; longer ones are no addresses, and decoding their domains takes quadratic time.
_LONGEST_EMAIL = 254
_LONGEST_LOCAL_PART = 64
_DISPLAY_NAME = re.compile(r"[^<>]*<(?P<address>[^<>]*)>\s*")
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NOT_IN_LOCAL_PART = re.compile(r'[\s<>,;:"()\[\]\\\x00-\x1f\x7f@]')
# Of the lengths above, in lower case, with nothing around it: what is left to look at is the domain.
_USUAL_ADDRESS = re.compile(r"([a-z0-9._+-]{1,64})@([a-z0-9.-]{1,189})")
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
    external_ids: Mapping[str, str] | None = None
    anonymous_id: str | None = None


def identities(
    names: LeadNames, shared: Collection[str] = SHARED_MAILBOXES
) -> tuple[AcceptedNames, str | None, str | None]:
    """The names as messages carry them, the domain of the address that was given, and that address if many read it.

    A shared mailbox is a lead of its own when nothing else names one. Beside another name it is a fact about
    that lead: taken as a name it would make all its readers one person, and nothing could part them again.
    The answer depends on this event alone, so the order of events cannot matter.

    Raises InvalidInput: invalid_email, no_identity, and so on.
    """
    address = _address(names.email) if names.email else None
    external_ids = _external_ids(names.external_ids) if names.external_ids else {}
    anonymous_id = _id(names.anonymous_id, "lead.anonymous_id") if names.anonymous_id else None
    is_named_otherwise = external_ids or anonymous_id
    if address is None:
        if not is_named_otherwise:
            raise InvalidInput(
                "names no lead: give email, external_ids or anonymous_id", code="no_identity", field="lead"
            )
        return AcceptedNames(None, external_ids, anonymous_id), None, None
    email, local, domain = address
    if _is_shared(email, local, shared):
        return AcceptedNames(None if is_named_otherwise else email, external_ids, anonymous_id), domain, email
    return AcceptedNames(email, external_ids, anonymous_id), domain, None


def normalise_email(text: str) -> str | None:
    """The address in lower case, without display name, its domain in ASCII; None for an empty one.

    Raises InvalidInput for what cannot be an address. The local part is folded too: no mail system in use
    tells `Ann@` from `ann@`, and platforms disagree about which they send.
    """
    address = _address(text)
    return address and address[0]


def looks_like_email(text: str) -> bool:
    """Whether `text` is an address, for fields that hold one now and then."""
    try:
        return normalise_email(text) is not None
    except InvalidInput:
        return False


def _is_shared(email: str, local: str, shared: Collection[str]) -> bool:
    """Whether several people read a normalised address: `shared` has its local part, or all of it.

    What follows a `+` sorts mail within a mailbox and makes no other one.
    """
    if "+" in local:
        mailbox = local.partition("+")[0]
        return mailbox in shared or mailbox + email[len(local) :] in shared
    return local in shared or email in shared


def _address(text: str) -> tuple[str, str, str] | None:
    """The normalised address, its local part and its domain."""
    usual = _USUAL_ADDRESS.fullmatch(text)
    if usual is not None:
        local, domain = usual.groups()
        if _ascii_domain(domain) == domain:
            return text, local, domain
    address = _bare_address(text)
    if not address:
        return None
    local, at, domain = address.rpartition("@")
    ascii_domain = _ascii_domain(domain) if at and len(address) <= _LONGEST_EMAIL else None
    if ascii_domain is None or not _is_local_part(local):
        raise InvalidInput("is not an e-mail address", code="invalid_email", field="lead.email")
    return f"{local}@{ascii_domain}", local, ascii_domain


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


def _id(value: str, path: str) -> str:
    text = value.strip()
    if not 0 < len(text) <= _LONGEST_ID:
        raise InvalidInput(f"must have 1 to {_LONGEST_ID} characters", code="invalid_value", field=path)
    return text
