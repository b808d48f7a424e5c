"""A backtest in pictures: well-formed, complete, and the same for the same report."""

import re
from xml.etree import ElementTree as ET

import pytest

from services.scorer.domain.what_if.backtest.canvas import Axis, Panel, Point, Series, svg
from services.scorer.domain.what_if.backtest.drawing import draw
from services.scorer.domain.what_if.backtest.report import Contender, Report, Wish, report_of
from tests.unit.scorer.what_if.backtest.test_report import CONTENDERS, QUESTION, a_market

SVG = "{http://www.w3.org/2000/svg}"


def a_report(*labels: str) -> Report:
    contenders = [Contender(label, "total", ()) for label in labels] or CONTENDERS
    return report_of(a_market(), contenders, QUESTION, wish=Wish())


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_all_models_share_two_plots_and_have_two_more_each() -> None:
    titles = [text for text in texts(draw(a_report())) if re.match(r"ROC|Lift|sharp: \w+ |blunt: \w+ ", text)]

    assert [title for title in titles if "AUC" not in title] == [
        "ROC: wins found against false alarms",
        "Lift by decile",
        "sharp: precision and recall by threshold",
        "blunt: precision and recall by threshold",
    ]
    assert "sharp: calibration, what a score means" in texts(draw(a_report()))


def test_the_legend_names_areas_with_their_intervals() -> None:
    assert any(
        re.fullmatch(r"sharp: AUC 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", text) for text in texts(draw(a_report()))
    )


def test_the_same_report_gives_the_same_picture() -> None:
    assert draw(a_report()) == draw(a_report())


def test_names_cannot_break_the_picture() -> None:
    assert any("<b>&\"'" in text for text in texts(draw(a_report("<b>&\"'", "other"))))


def test_nothing_is_fetched_from_elsewhere() -> None:
    picture = draw(a_report())

    assert set(re.findall(r"https?://[^\"]*", picture)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in picture


def test_a_point_stands_where_its_numbers_say() -> None:
    panel = Panel(
        "", Axis("", 0, 10), Axis("", 0, 1), [Series([Point(5, 0.5, 0, 1)], "#000", line=False, marks=True)]
    )

    circle = next(ET.fromstring(svg("", [panel])).iter(f"{SVG}circle"))

    assert float(circle.attrib["cx"]) == pytest.approx((58 + 446) / 2)
    assert float(circle.attrib["cy"]) == pytest.approx((34 + 284) / 2)


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-30, 30, [-30, -20, -10, 0, 10, 20, 30]),
        (3.5, 4.4, [3.6, 3.8, 4.0, 4.2, 4.4]),
    ],
)
def test_axes_have_round_numbers(low: float, high: float, marks: list[float]) -> None:
    assert Axis("", low, high).marks() == pytest.approx(marks)
