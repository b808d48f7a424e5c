"""Areas under the ROC curve and their comparison, against definitions that look at every pair."""

from dataclasses import replace
from itertools import product
from math import exp, log, sqrt
from random import Random

import pytest
from hypothesis import given, settings

from services.scorer.domain.what_if.backtest.discrimination import Discrimination, discrimination_of
from services.scorer.domain.what_if.backtest.intervals import deviations
from services.scorer.domain.what_if.backtest.observations import Observations
from tests.unit.scorer.what_if.backtest.samples import observations, observed, of_many_leads


def beats(winner: float, other: float) -> float:
    return 1.0 if winner > other else 0.5 if winner == other else 0.0


def places(sample: Observations, *, won: bool) -> list[int]:
    return [place for place, each in enumerate(sample.won) if each is won]


def area(sample: Observations, model: int = 0) -> float:
    """Every pair of one that won and one that did not."""
    scores = sample.scores[model]
    pairs = list(product(places(sample, won=True), places(sample, won=False)))
    return sum(beats(scores[winner], scores[other]) for winner, other in pairs) / len(pairs)


def covariance(sample: Observations, one: int, other: int) -> float:
    """Obuchowski (1997), with sums over every pair and every lead."""
    winners, others = places(sample, won=True), places(sample, won=False)
    leads = set(sample.leads)

    def sums(model: int) -> tuple[dict[int, float], dict[int, float]]:
        scores, centre = sample.scores[model], area(sample, model)
        of_won, of_not_won = dict.fromkeys(leads, 0.0), dict.fromkeys(leads, 0.0)
        for winner in winners:
            chance = sum(beats(scores[winner], scores[each]) for each in others) / len(others)
            of_won[sample.leads[winner]] += chance - centre
        for loser in others:
            chance = sum(beats(scores[each], scores[loser]) for each in winners) / len(winners)
            of_not_won[sample.leads[loser]] += chance - centre
        return of_won, of_not_won

    (won_one, not_one), (won_other, not_other) = sums(one), sums(other)
    winning, losing = ({sample.leads[place] for place in kind} for kind in (winners, others))
    s10 = sum(won_one[lead] * won_other[lead] for lead in leads) * len(winning) / (len(winning) - 1) / len(winners)
    s01 = sum(not_one[lead] * not_other[lead] for lead in leads) * len(losing) / (len(losing) - 1) / len(others)
    s11 = sum(won_one[lead] * not_other[lead] + not_one[lead] * won_other[lead] for lead in leads)
    s11 *= len(leads) / (len(leads) - 1) / (len(winners) * len(others))
    return s10 / len(winners) + s01 / len(others) + s11


@given(sample=observations())
def test_an_area_is_the_chance_to_have_the_higher_score_of_two(sample: Observations) -> None:
    found = discrimination_of(sample).areas[0]

    assert found.value == pytest.approx(area(sample))
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@given(sample=observations())
def test_its_interval_is_that_of_the_definition(sample: Observations) -> None:
    found = discrimination_of(sample).areas[0]

    value = area(sample)
    if 0.0 < value < 1.0:
        reach = deviations() * sqrt(max(0.0, covariance(sample, 0, 0))) / (value * (1 - value))
        logit = log(value / (1 - value))
        assert found.low == pytest.approx(1 / (1 + exp(reach - logit)), abs=1e-6)
        assert found.high == pytest.approx(1 / (1 + exp(-reach - logit)), abs=1e-6)


@given(sample=observations(models=2))
@settings(max_examples=60)
def test_a_comparison_allows_for_what_two_models_have_in_common(sample: Observations) -> None:
    found = discrimination_of(sample).comparisons[0]

    variance = covariance(sample, 0, 0) + covariance(sample, 1, 1) - 2 * covariance(sample, 0, 1)
    reach = deviations() * sqrt(max(0.0, variance))
    assert found.difference.value == pytest.approx(abs(area(sample, 0) - area(sample, 1)))
    assert found.difference.high - found.difference.value == pytest.approx(reach, abs=1e-6)


@given(sample=observations())
def test_the_order_in_which_leads_are_read_does_not_matter(sample: Observations) -> None:
    order = sorted(range(len(sample)), key=lambda place: (sample.scores[0][place], -place))
    shuffled = Observations(
        [sample.leads[place] for place in order],
        sample.at_us,
        [sample.won[place] for place in order],
        ([sample.scores[0][place] for place in order],),
    )

    found, expected = discrimination_of(shuffled).areas[0], discrimination_of(sample).areas[0]

    assert found.value == pytest.approx(expected.value)
    assert found.low == pytest.approx(expected.low, abs=1e-9)


def test_a_score_that_says_nothing_has_an_area_of_one_half() -> None:
    found = discrimination_of(observed((1, True, 5), (2, True, 5), (3, False, 5), (4, False, 5))).areas[0]

    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("leads", "low"), [(2, 0.386), (20, 0.899), (200, 0.990)])
def test_perfect_separation_of_few_leads_is_not_certain(leads: int, low: float) -> None:
    rows = [(lead, lead % 2 == 0, float(lead % 2 == 0)) for lead in range(2 * leads)]

    found = discrimination_of(observed(*rows)).areas[0]

    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(low, abs=0.001)
    # Newcombe (2006), method 5, with as many that won as that did not.
    spread = 1 + (leads - 1) * ((1 - found.low) / (2 - found.low) + found.low / (1 + found.low))
    variance = found.low * (1 - found.low) * spread / leads**2
    assert 1 - found.low == pytest.approx(deviations() * sqrt(variance))


def test_two_leads_of_a_kind_are_the_fewest() -> None:
    with pytest.raises(ValueError, match="two leads that won"):
        discrimination_of(observed((1, True, 5), (1, True, 4), (3, False, 5), (4, False, 5)))


def test_a_better_model_comes_first_and_a_like_one_is_within_noise() -> None:
    found = discrimination_of(of_many_leads(600, seed=1, noises=(3.0, 0.3, 0.31)))

    assert found.ranking()[2] == 0
    assert verdicts(found) == {(0, 1): False, (0, 2): False, (1, 2): True}


def verdicts(found: Discrimination) -> dict[tuple[int, int], bool]:
    return {
        (min(each.better, each.worse), max(each.better, each.worse)): each.within_noise for each in found.comparisons
    }


def test_a_model_is_within_noise_of_itself() -> None:
    sample = of_many_leads(50, seed=2, noises=(0.5,))

    found = discrimination_of(replace(sample, scores=sample.scores * 2)).comparisons[0]

    assert (found.difference.value, found.p_value, found.within_noise) == (0.0, 1.0, True)


def test_what_is_said_of_many_pairs_is_said_more_carefully() -> None:
    few, many = of_many_leads(200, seed=3, noises=(0.5, 1.0)), of_many_leads(200, seed=3, noises=(0.5, 1.0))
    many = replace(many, scores=(*few.scores, *many.scores))

    alone = discrimination_of(few).comparisons[0].difference
    among = discrimination_of(many).comparisons[0].difference

    assert among.high - among.low > alone.high - alone.low
    assert among.value == alone.value


@pytest.mark.parametrize("repeats", [1, 6])
def test_the_interval_agrees_with_drawing_leads_again_and_again(repeats: int) -> None:
    sample = of_many_leads(150, seed=4, noises=(1.0,), repeats=repeats)
    found = discrimination_of(sample).areas[0]

    drawn = sorted(redrawn_areas(sample, times=400))

    assert found.low == pytest.approx(drawn[10], abs=0.025)
    assert found.high == pytest.approx(drawn[-11], abs=0.025)


def redrawn_areas(sample: Observations, *, times: int) -> list[float]:
    """The bootstrap by leads: whole leads are drawn, with all their observations."""
    random = Random(5)
    leads = sorted(set(sample.leads))
    by_lead = {lead: [place for place, each in enumerate(sample.leads) if each == lead] for lead in leads}
    areas: list[float] = []
    for _ in range(times):
        chosen = [place for lead in random.choices(leads, k=len(leads)) for place in by_lead[lead]]
        again = Observations(
            range(len(chosen)),
            range(len(chosen)),
            [sample.won[place] for place in chosen],
            ([sample.scores[0][place] for place in chosen],),
        )
        areas.append(discrimination_of(again).areas[0].value)
    return areas
