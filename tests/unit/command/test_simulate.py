"""How a simulation is shown."""

from services.command.simulate import bands_in_order
from tests.support.builders import a_model, a_rule


def test_bands_are_shown_from_the_highest_to_the_lowest_and_not_by_their_names() -> None:
    before = a_model(a_rule(), bands={"engagement": {"cold": 0, "hot": 75, "warm": 40}})
    after = a_model(a_rule(), bands={"engagement": {"cold": 0, "hot": 80, "tepid": 60}})

    assert bands_in_order([before], "engagement") == ["hot", "warm", "cold"]
    assert bands_in_order([before, after], "engagement") == ["hot", "tepid", "warm", "cold"]
    assert bands_in_order([before], "fit") == []
