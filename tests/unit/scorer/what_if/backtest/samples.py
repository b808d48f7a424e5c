"""Observations to test statistics with, and how hypothesis makes them."""

from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

from services.scorer.domain.what_if.backtest.observations import Observations


def observed(*rows: tuple[int, bool, float]) -> Observations:
    """Observations of one model from (lead, won, score), an hour apart."""
    leads, won, scores = zip(*rows, strict=True)
    return Observations(leads, [hour * 3_600_000_000 for hour in range(len(rows))], won, (scores,))


@st.composite
def observations(draw: st.DrawFn, models: int = 1) -> Observations:
    """Few leads, often observed more than once, with many equal scores; two of each kind at least."""
    number = draw(st.integers(0, 20))
    leads = [0, 1, 2, 3, *(draw(st.integers(0, 7)) for _ in range(number))]
    won = [True, True, False, False, *(draw(st.booleans()) for _ in range(number))]
    scores = st.lists(st.integers(0, 6).map(float), min_size=len(leads), max_size=len(leads))
    return Observations(leads, range(len(leads)), won, tuple(draw(scores) for _ in range(models)))


def of_many_leads(leads: int, *, seed: int, noises: Sequence[float], repeats: int = 1) -> Observations:
    """A made-up market: every lead has a liking that decides whether it wins; models see it with noise.

    A lead that is observed several times has the same liking, and noise of its own, each time.
    """
    random = Random(seed)
    likings = [random.gauss(0, 1) for _ in range(leads)]
    own_noise = [[random.gauss(0, noise) for noise in noises] for _ in range(leads)]
    rows: list[tuple[int, bool, list[float]]] = []
    for lead in range(leads):
        for _ in range(repeats):
            won = random.gauss(likings[lead], 1) > 1
            rows.append((lead, won, [round(likings[lead] + noise, 1) for noise in own_noise[lead]]))
    columns = tuple([row[2][model] for row in rows] for model in range(len(noises)))
    return Observations([row[0] for row in rows], range(len(rows)), [row[1] for row in rows], columns)
