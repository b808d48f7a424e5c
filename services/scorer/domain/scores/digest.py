"""A fingerprint of every score of a workspace: the same wherever the same events count under the same model.

Nothing that an installation makes up goes into it: a lead is known by its events, not by its id, and a number is
its published form, computed once more with many digits where the last bits of a float could round it otherwise.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from hashlib import sha256
from typing import Final

from services.scorer.domain.counting.tally import Line, Tally, curve_from, portions_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import Bounds, CombinedScore, Model
from shared.events.curve import Ageing, moment, published, scores_at

_DIGITS: Final = 50
# As `published` does: noise beyond these digits is taken off before rounding.
_NOISE: Final = Decimal("1e-9")
_HUNDREDTH: Final = Decimal("0.01")
# Nearer than this, in hundredths, to where rounding turns, a float is not relied on.
_EDGE: Final = 1e-4


def fingerprint(model: Model, events: Iterable[Event], tally: Tally, at_us: int) -> bytes:
    """One lead's part of the digest: which events it had, and its published scores at `at_us`."""
    known_by = sorted((event.source, event.id) for event in events)
    scores = {name: f"{score:.2f}" for name, score in published_scores(model, tally, at_us).items()}
    return sha256(json.dumps([known_by, scores], sort_keys=True).encode()).digest()


def digest_of(fingerprints: Iterable[bytes]) -> str:
    """The digest of a workspace, in hexadecimal; the order in which leads were looked at does not matter."""
    return sha256(b"".join(sorted(fingerprints))).hexdigest()


def published_scores(model: Model, tally: Tally, at_us: int) -> dict[str, float]:
    """Every score as it is published at `at_us`, whatever a machine's floats do to the last bits."""
    values = scores_at(curve_from(model, tally, at_us), moment(at_us))
    if not any(map(_is_near_an_edge, values.values())):
        return {name: published(value) for name, value in values.items()}
    return {name: _rounded(value) for name, value in _exact_scores(model, tally, at_us).items()}


def _is_near_an_edge(value: float) -> bool:
    return abs(value * 100 % 1 - 0.5) < _EDGE


def _rounded(value: Decimal) -> float:
    with localcontext(prec=_DIGITS):
        return float(value.quantize(_NOISE).quantize(_HUNDREDTH)) + 0.0


def _exact_scores(model: Model, tally: Tally, at_us: int) -> dict[str, Decimal]:
    values: dict[str, Decimal] = {}
    with localcontext(prec=_DIGITS):
        for name, score in model.scores.items():
            if isinstance(score, CombinedScore):
                total = sum((Decimal(weight) * values[part] for part, weight in score.weights.items()), Decimal())
            else:
                total = _exact_sum(tally[name], score.groups, at_us)
            values[name] = _clamped(total, score.bounds)
    return values


def _exact_sum(lines: tuple[Line, ...], groups: Mapping[str, Bounds], at_us: int) -> Decimal:
    total = _exact_group(lines, None, at_us)
    for name, bounds in groups.items():
        total += _clamped(_exact_group(lines, name, at_us), bounds)
    return total


def _exact_group(lines: tuple[Line, ...], group: str | None, at_us: int) -> Decimal:
    return sum((_exact_worth(term, at_us) for term in portions_of(lines, group)), Decimal())


def _exact_worth(term: Ageing, at_us: int) -> Decimal:
    if at_us < term.from_us or (term.ends_us is not None and at_us >= term.ends_us):
        return Decimal()
    if term.half_life_us is None:
        return Decimal(term.worth)
    return Decimal(term.worth) * Decimal(2) ** (Decimal(term.from_us - at_us) / term.half_life_us)


def _clamped(value: Decimal, bounds: Bounds) -> Decimal:
    if bounds.max is not None and value > bounds.max:
        value = Decimal(bounds.max)
    return Decimal(bounds.min) if bounds.min is not None and value < bounds.min else value
