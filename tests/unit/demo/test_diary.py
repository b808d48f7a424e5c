"""One person's deeds, in order."""

from datetime import timedelta

from services.demo.company import people_of
from services.demo.diary import Channel, Diary
from tests.unit.demo.stories import UNTIL

BEGIN = UNTIL - timedelta(days=14)


def a_diary() -> Diary:
    return Diary(people_of(17)[0], seed=17, begin=BEGIN, until=UNTIL)


def test_days_later_is_a_working_day_and_never_earlier() -> None:
    diary = a_diary()

    for _ in range(30):
        before = diary.now
        diary.days_later(0, 2)
        assert diary.now >= before
        assert diary.now.weekday() < 5
        assert 7 <= diary.now.hour <= 16


def test_what_would_come_after_the_end_or_before_the_beginning_is_not_written() -> None:
    diary = a_diary()

    diary.write_at(UNTIL + timedelta(seconds=1), Channel.MAIL, "open")
    diary.write_at(BEGIN - timedelta(seconds=1), Channel.MAIL, "open")
    diary.write_at(UNTIL, Channel.MAIL, "open")

    assert [deed.at for deed in diary.deeds] == [UNTIL]


def test_a_browser_knows_its_visitor_from_the_moment_of_identifying() -> None:
    diary = a_diary()

    diary.visit("/")
    diary.identify()
    diary.visit("/pricing")

    assert [(deed.what, deed.facts["known"]) for deed in diary.deeds] == [
        ("page", False),
        ("identify", True),
        ("page", True),
    ]
