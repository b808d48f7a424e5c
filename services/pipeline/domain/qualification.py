"""Qualification as evidence: what is known of each criterion, on whose word, and the verdict that follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from services.pipeline.domain.criteria import Criterion, Exclusion, digest_of
from shared.events.json import Json
from shared.events.stages import Evidence

VerdictState = Literal["qualified", "disqualified", "open"]
CriterionState = Literal["unknown", "met", "not_met"]
Fields = Mapping[str, Json]


class Word(Struct, frozen=True, gc=False):
    """A person or a CRM has confirmed or refuted a criterion; it outweighs the rule until it expires."""

    criterion: str
    confirmed: bool
    source: Literal["person", "crm"]
    actor: str | None
    note: str | None
    at: datetime


class Basis(Struct, frozen=True, gc=False):
    """What the rule says of a criterion, and since when; `seen` is a digest of what it looked at, if that ages."""

    state: CriterionState
    since: datetime
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The qualification part of a pipeline document; without criteria nobody is ever qualified."""

    framework: str | None = None
    criteria: tuple[Criterion, ...] = ()
    at_least: int | None = None
    exclusions: tuple[Exclusion, ...] = ()


class Verdict(Struct, frozen=True, gc=False):
    """Whether a lead is ready, and why it is ruled out if it is."""

    state: VerdictState
    reason: str | None = None


OPEN = Verdict("open")


def rebased(policy: Policy, fields: Fields, basis: Mapping[str, Basis], at: datetime) -> dict[str, Basis]:
    """What the rules say now. A state keeps its date as long as nothing new is known.

    Where evidence expires, another value is new evidence even when it means the same.
    """
    return {criterion.name: _basis(criterion, fields, basis.get(criterion.name), at) for criterion in policy.criteria}


def _basis(criterion: Criterion, fields: Fields, known: Basis | None, at: datetime) -> Basis:
    state = _state(criterion.answer(fields))
    seen = digest_of(criterion, fields) if criterion.expires_after is not None else ""
    if known is None or known.state != state or (known.seen and seen and known.seen != seen):
        return Basis(state, at, seen)
    return Basis(state, known.since, seen)


def evidence(
    policy: Policy, basis: Mapping[str, Basis], words: Mapping[str, Word], at: datetime
) -> tuple[Evidence, ...]:
    """How every criterion stands at `at`: a word that has not expired, else the rule, else unknown."""
    return tuple(
        _evidence(criterion, basis.get(criterion.name), words.get(criterion.name), at)
        for criterion in policy.criteria
    )


def verdict(policy: Policy, fields: Fields, found: Sequence[Evidence]) -> Verdict:
    """Ruled out by the first exclusion that holds; else qualified with enough criteria met; else open."""
    for exclusion in policy.exclusions:
        if exclusion.holds(fields):
            return Verdict("disqualified", exclusion.reason)
    met = sum(item.state == "met" for item in found)
    return Verdict("qualified") if policy.at_least is not None and met >= policy.at_least else OPEN


def lapsed(
    policy: Policy,
    basis: Mapping[str, Basis],
    words: Mapping[str, Word],
    *,
    since: datetime | None,
    until: datetime,
) -> tuple[str, ...]:
    """Criteria whose evidence was good at `since` and had expired by `until`."""
    if since is None:
        return ()
    before, after = (evidence(policy, basis, words, at) for at in (since, until))
    pairs = zip(before, after, strict=True)
    return tuple(
        old.criterion for old, new in pairs if old.expires_at is not None and old.expires_at != new.expires_at
    )


def with_word(words: Mapping[str, Word], word: Word) -> dict[str, Word]:
    """The latest word on each criterion; an older one that comes late changes nothing."""
    known = words.get(word.criterion)
    if known is not None and known.at > word.at:
        return dict(words)
    return {**words, word.criterion: word}


def with_words(words: Mapping[str, Word], others: Iterable[Word]) -> dict[str, Word]:
    """The latest words of two leads that turned out to be one."""
    found = dict(words)
    for word in others:
        found = with_word(found, word)
    return found


def _state(truth: bool | None) -> CriterionState:
    return "unknown" if truth is None else "met" if truth else "not_met"


def _evidence(criterion: Criterion, basis: Basis | None, word: Word | None, at: datetime) -> Evidence:
    if word is not None and not _is_over(word.at, criterion.expires_after, at):
        return Evidence(
            criterion=criterion.name,
            state="met" if word.confirmed else "not_met",
            source=word.source,
            actor=word.actor,
            note=word.note,
            at=word.at,
            expires_at=_expiry(word.at, criterion.expires_after),
        )
    if basis is None or basis.state == "unknown" or _is_over(basis.since, criterion.expires_after, at):
        return _nothing(criterion.name)
    return Evidence(
        criterion=criterion.name,
        state=basis.state,
        source="rule",
        actor=None,
        note=None,
        at=basis.since,
        expires_at=_expiry(basis.since, criterion.expires_after),
    )


def _nothing(criterion: str) -> Evidence:
    return Evidence(
        criterion=criterion, state="unknown", source=None, actor=None, note=None, at=None, expires_at=None
    )


def _expiry(since: datetime, expires_after: timedelta | None) -> datetime | None:
    return None if expires_after is None else since + expires_after


def _is_over(since: datetime, expires_after: timedelta | None, at: datetime) -> bool:
    return expires_after is not None and at >= since + expires_after
