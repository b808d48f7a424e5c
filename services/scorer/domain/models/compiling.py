"""Event rules, compiled: one function per event type, so that an event costs what its own type's rules cost."""

from collections.abc import Sequence
from functools import partial
from typing import Final, cast

from services.scorer.domain.models.model import EventRule, Matcher
from services.scorer.domain.states.limits import canonical
from services.scorer.domain.states.state import LimitKey
from shared.documents.condition_source import FunctionSource

# LimitKey(*fields) at half the cost: what a named tuple does behind a function of its own.
_new_limit_key: Final = partial(tuple.__new__, LimitKey)


def matcher(event_type: str, rules: Sequence[tuple[str, EventRule]]) -> Matcher:
    """What `rules`, each with its score, make of events of `event_type`; matches come in their order."""
    source = FunctionSource(("source", "properties"), known={"type": event_type})
    source.share(rule.condition for _, rule in rules if rule.condition is not None)
    source.line("found = []")
    for score, rule in rules:
        matched = f"found.append({_limit_key(source, score, rule)})"
        source.line(matched if rule.condition is None else f"if {source.condition(rule.condition)}: {matched}")
    source.line("return found")
    return cast("Matcher", source.compiled())


def _limit_key(source: FunctionSource, score: str, rule: EventRule) -> str:
    if rule.limit is None or rule.limit.by is None:
        return source.constant(LimitKey(score, rule.id, ""))
    by = f"{source.constant(canonical)}({source.field(rule.limit.by)})"
    return f"{source.constant(_new_limit_key)}(({source.constant(score)}, {source.constant(rule.id)}, {by}))"
