import gc

from shared.garbage import collect_seldom


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
