import gc

import pytest

from shared.garbage import collect_seldom, uncollected


def test_what_a_process_begins_with_is_left_alone_and_what_comes_is_looked_at_less_often() -> None:
    thresholds = gc.get_threshold()
    try:
        collect_seldom()

        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert all(new > old for new, old in zip(gc.get_threshold(), thresholds, strict=True))
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def test_nothing_is_looked_at_while_a_batch_is_in_hand() -> None:
    with uncollected():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_a_batch_that_fails_is_in_hand_no_longer() -> None:
    def fail() -> None:
        with uncollected():
            raise RuntimeError("after all, no")

    with pytest.raises(RuntimeError, match="after all"):
        fail()

    assert gc.isenabled()
