"""How a run ends: what was not looked at is said, and counts as broken where skipping is forbidden."""

from tests.faults.lanes import Line, verdict


def a_line(name: str, outcome: str, notes: str = "") -> Line:
    return Line(name, "embedded", "a fault", seed=1, load="", outcome=outcome, seconds=1.0, notes=notes)


HELD = a_line("F7", "held")
SKIPPED = a_line("F8", "skipped", "only root may mount a small disk")


def test_a_run_of_which_all_held_ends_well() -> None:
    assert verdict([HELD], is_skipping_forbidden=True) == ("0 of 1 failed", 0)


def test_a_missed_and_a_failed_scenario_end_a_run_with_1() -> None:
    lines = [HELD, a_line("F1", "**missed**"), a_line("F4", "**failed**")]

    assert verdict(lines, is_skipping_forbidden=False) == ("2 of 3 failed", 1)


def test_what_was_skipped_is_said_last_with_its_reason() -> None:
    words, code = verdict([HELD, SKIPPED], is_skipping_forbidden=False)

    assert words == "0 of 2 failed; 1 skipped: F8 on embedded (only root may mount a small disk)"
    assert code == 0


def test_a_skipped_scenario_ends_a_run_with_1_where_skipping_is_forbidden() -> None:
    words, code = verdict([HELD, SKIPPED], is_skipping_forbidden=True)

    assert "1 skipped, which is forbidden here: F8" in words
    assert code == 1
