"""What platforms that are ahead of their pace are told."""

import pytest

from services.ingest.kinds.registry import KINDS
from services.ingest.pacing import COMES_AGAIN_AFTER_429, COMES_AGAIN_AFTER_503, COMES_ONCE, admit_webhook
from shared.access import pacing
from shared.access.pacing import Pacer
from shared.access.token_bucket import Pace
from shared.clock import ManualClock
from shared.errors import RateLimited, TransientError
from tests.support.ingesting import NOON


def a_pacer() -> Pacer:
    return Pacer(Pace(1, 1), ManualClock(NOON))


def test_of_every_kind_it_is_known_what_makes_its_platform_come_again() -> None:
    known = [*COMES_AGAIN_AFTER_429, *COMES_AGAIN_AFTER_503, *COMES_ONCE]

    assert set(KINDS) <= set(known)
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    ("kind", "error"), [("sendgrid", RateLimited), ("postmark", RateLimited), ("segment", TransientError)]
)
def test_a_platform_ahead_of_its_pace_is_told_what_makes_it_come_again(kind: str, error: type[Exception]) -> None:
    pacer = a_pacer()
    admit_webhook(pacer, "acme", kind)

    with pytest.raises(error):
        admit_webhook(pacer, "acme", kind)


@pytest.mark.parametrize("kind", sorted(COMES_ONCE))
def test_a_platform_that_never_comes_again_is_never_held_up(kind: str) -> None:
    pacer = a_pacer()

    for _ in range(100):
        admit_webhook(pacer, "acme", kind)


def test_callers_are_held_to_a_pace_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_MOST_BUCKETS", 3)
    pacer = a_pacer()
    for caller in "abcde":
        pacer.admit(caller)

    with pytest.raises(RateLimited):
        pacer.admit("a")
