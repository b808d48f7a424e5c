"""All that a backtest says, of models on the same leads."""

import pytest

from services.scorer.domain.what_if.backtest.observing import LeftOut, Observed, Question
from services.scorer.domain.what_if.backtest.report import Contender, Wish, report_of
from shared.documents.durations import WEEK_US
from shared.errors import InvalidInput
from tests.unit.scorer.what_if.backtest.samples import of_many_leads

QUESTION = Question(until_us=9 * WEEK_US)
CONTENDERS = [Contender("blunt", "total", (("hot", 1.0),)), Contender("sharp", "total", (("hot", 1.0),))]


def a_market(leads: int = 400) -> Observed:
    """Leads over eight weeks as two models see them, the second one better."""
    sample = of_many_leads(leads, seed=1, noises=(2.0, 0.2))
    observed = Observed(2, seen=leads + 5)
    observed.leads, observed.won = list(sample.leads), list(sample.won)
    observed.at_us = [place * 8 * WEEK_US // leads for place in range(leads)]
    observed.scores = [list(scores) for scores in sample.scores]
    observed.left_out[LeftOut.UNDECIDED] = 5
    return observed


def test_models_are_ranked_by_what_they_tell_apart() -> None:
    report = report_of(a_market(), CONTENDERS, QUESTION, wish=Wish())

    assert [report.models[place].label for place in report.ranking] == ["sharp", "blunt"]
    assert not report.comparisons[0].within_noise


def test_the_report_counts_leads_and_says_what_was_left_out() -> None:
    report = report_of(a_market(), CONTENDERS, QUESTION, wish=Wish())

    assert (report.leads_seen, report.leads, report.observations) == (405, 400, 400)
    assert report.leads_won == round(report.wins.value * 400)
    assert report.left_out == {"neither won nor lost yet": 5}
    assert report.weeks == pytest.approx(8, abs=0.05)


def test_levels_that_the_document_names_are_among_the_thresholds() -> None:
    report = report_of(a_market(), CONTENDERS, QUESTION, wish=Wish())

    assert all(1.0 in {each.threshold for each in model.selections} for model in report.models)


def test_advice_is_given_where_it_is_asked_for() -> None:
    silent = report_of(a_market(), CONTENDERS, QUESTION, wish=Wish())
    asked = report_of(a_market(), CONTENDERS, QUESTION, wish=Wish(leads_per_week=5, share_of_wins=0.9))

    assert silent.models[0].advice == ()
    assert [each.wanted for each in asked.models[0].advice] == ["leads_per_week", "share_of_wins"]


def test_too_few_leads_are_refused_with_what_became_of_the_others() -> None:
    observed = Observed(1, leads=[0], at_us=[0], won=[True], seen=9)
    observed.scores[0].append(3.0)
    observed.left_out[LeftOut.NEVER_HANDED_OVER] = 8

    with pytest.raises(InvalidInput, match=r"of 9 leads 1 .* and 0 otherwise.*8 never handed over"):
        report_of(observed, CONTENDERS[:1], QUESTION, wish=Wish())


def test_where_nothing_was_known_the_sources_are_named() -> None:
    observed = Observed(1, seen=9)
    observed.unknown_events["crm"] = 1200

    with pytest.raises(InvalidInput, match=r"1,200 events \(--imported crm\?\)"):
        report_of(observed, CONTENDERS[:1], QUESTION, wish=Wish())
