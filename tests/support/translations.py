"""What a kind makes of one element, for tests that say it in one line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.ingest.domain.draft import Draft
from services.ingest.kinds.kind import Element, Parked, Source, Translated
from services.ingest.kinds.registry import KINDS
from shared.events.json import Json
from tests.support.deliveries import a_delivery, a_source

Payload = dict[str, Json]
Meaning = tuple[str, str]


def translations(
    kind: str, element: Mapping[str, Json], source: Source | None = None, *, headers: Mapping[str, str] | None = None
) -> list[Element]:
    """Everything that an element says."""
    delivery = replace(a_delivery(), headers=headers or {})
    found = KINDS[kind].translate(element, delivery, source or a_source(kind))
    return list(found) if isinstance(found, Sequence) else [found]


def drafts(kind: str, element: Mapping[str, Json], source: Source | None = None) -> list[Draft]:
    """The drafts of an element that becomes nothing else."""
    found = translations(kind, element, source)
    assert all(isinstance(one, Translated) for one in found), found
    return [one.draft for one in found if isinstance(one, Translated)]


def draft_of(kind: str, element: Mapping[str, Json], source: Source | None = None) -> Draft:
    """The draft of an element that says one thing."""
    [draft] = drafts(kind, element, source)
    return draft


def meaning_of(kind: str, element: Mapping[str, Json], event_names: Mapping[str, str] | None = None) -> Meaning:
    """("accepted" or "ignored", type), or ("parked", code)."""
    [found] = translations(kind, element, a_source(kind, event_names=event_names))
    if isinstance(found, Translated):
        return "ignored" if found.ignored else "accepted", found.draft.type
    assert isinstance(found, Parked), found
    return "parked", found.code
