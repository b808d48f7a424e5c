"""What `enter_when` means."""

import pytest

from services.pipeline.domain.triggers import (
    AllOf,
    AnyOf,
    EventSeen,
    Fresh,
    Inside,
    LeftThreshold,
    Match,
    Situation,
    StandsIn,
    Trigger,
    VerdictIs,
    matching,
    stages_named,
)

HERE = Situation("mql", inside=frozenset({"warm"}), verdict="qualified")
NOW = Situation(
    "mql",
    inside=frozenset({"warm", "hot"}),
    verdict="qualified",
    fresh=Fresh(
        entered=frozenset({"hot"}), left=frozenset({"mql"}), events=frozenset({"demo_requested"}), judged=True
    ),
)


@pytest.mark.parametrize(
    ("trigger", "situation", "expected"),
    [
        (Inside(("warm",)), HERE, Match("inside the threshold warm")),
        (Inside(("hot",)), HERE, None),
        (Inside(("warm", "hot")), NOW, Match("inside the threshold hot", fresh=True)),
        (LeftThreshold(("mql",)), HERE, None),
        (LeftThreshold(("mql",)), NOW, Match("left the threshold mql", fresh=True)),
        (EventSeen(("demo_requested",)), HERE, None),
        (EventSeen(("x", "demo_requested")), NOW, Match("event demo_requested", fresh=True)),
        (VerdictIs("qualified"), HERE, Match("qualified")),
        (VerdictIs("qualified"), NOW, Match("qualified", fresh=True)),
        (VerdictIs("disqualified"), NOW, None),
        (StandsIn(("mql",)), HERE, Match("in the stage mql", named=True)),
        (StandsIn(("new",)), HERE, None),
        (
            AllOf((VerdictIs("qualified"), StandsIn(("mql",)))),
            NOW,
            Match("qualified and in the stage mql", named=True, fresh=True),
        ),
        (AllOf((VerdictIs("qualified"), StandsIn(("new",)))), NOW, None),
        (AnyOf((Inside(("warm",)), EventSeen(("demo_requested",)))), NOW, Match("event demo_requested", fresh=True)),
        (AnyOf((Inside(("x",)),)), NOW, None),
    ],
)
def test_a_trigger_holds_or_not(trigger: Trigger, situation: Situation, expected: Match | None) -> None:
    assert matching(trigger, situation) == expected


def test_the_stages_a_trigger_names_are_found_at_any_depth() -> None:
    trigger = AnyOf((Inside(("x",)), AllOf((StandsIn(("a", "b")), AnyOf((StandsIn(("c",)),))))))

    assert stages_named(trigger) == ("a", "b", "c")
