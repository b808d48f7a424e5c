"""What another version of a pipeline would mean for leads as they stand: looked at, and nothing done.

A version moves nobody by itself. This tells where each lead would go if its rules ran now, taking all that is
true of it for news: thresholds it is inside, its verdict. Events are moments and cannot be true now.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from services.pipeline.domain import lead as leads
from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.triggers import Fresh


@dataclass(frozen=True, slots=True)
class Impact:
    """One lead under another version.

    `stage_missing`: it stands in a stage that the version lacks. `to`: where rules would take it, None for
    nowhere; `to_now`: where those of the active version would. Verdicts are of this moment.
    """

    lead_id: str
    stage: str
    stage_missing: bool
    to: str | None
    to_now: str | None
    verdict: str
    verdict_now: str

    @property
    def is_touched(self) -> bool:
        """Whether the version makes any difference to the lead, or would move it."""
        return self.stage_missing or self.to is not None or self.to != self.to_now or self.verdict != self.verdict_now


def impact(lead: Lead, pipeline: Pipeline, active: Pipeline | None, now: datetime) -> Impact | None:
    """How the lead stands under `pipeline`; None for one that is in no stage yet, or is no more."""
    if lead.stay is None or lead.absorbed_by is not None:
        return None
    verdict, to = _under(lead, pipeline, now)
    verdict_now, to_now = _under(lead, active, now) if active is not None else (lead.verdict.state, None)
    return Impact(
        lead_id=lead.id,
        stage=lead.stay.stage,
        stage_missing=pipeline.stages.find(lead.stay.stage) is None,
        to=to,
        to_now=to_now,
        verdict=verdict,
        verdict_now=verdict_now,
    )


def _under(lead: Lead, pipeline: Pipeline, now: datetime) -> tuple[str, str | None]:
    assert lead.stay is not None
    inside = frozenset(name for name, state in lead.thresholds.items() if state.inside)
    fresh = Fresh(entered=inside, judged=True, moved=True)
    after, _ = leads.judged_and_settled(replace(lead, lapses_at=None), pipeline, fresh, now)
    assert after.stay is not None
    return after.verdict.state, after.stay.stage if after.stay.stage != lead.stay.stage else None


@dataclass(frozen=True, slots=True)
class Summary:
    """Impacts counted. `moves` and `moves_now`: by where from and where to, under the version and the active one."""

    looked_at: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves_now: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def with_summary(self, other: "Summary") -> "Summary":
        """Both together."""
        return Summary(
            self.looked_at + other.looked_at,
            self.moves + other.moves,
            self.moves_now + other.moves_now,
            self.missing + other.missing,
            self.verdicts + other.verdicts,
        )

    def with_impacts(self, impacts: Iterable[Impact]) -> "Summary":
        """The same with these leads counted."""
        found = list(impacts)
        return self.with_summary(
            Summary(
                looked_at=len(found),
                moves=Counter((item.stage, item.to) for item in found if item.to is not None),
                moves_now=Counter((item.stage, item.to_now) for item in found if item.to_now is not None),
                missing=Counter(item.stage for item in found if item.stage_missing),
                verdicts=Counter(
                    (item.verdict_now, item.verdict) for item in found if item.verdict != item.verdict_now
                ),
            )
        )
