"""The patches that make leadflow wrong keep up with the sources. That each is caught shows `make faults`."""

import pytest

from tests.faults.lanes import SCENARIOS
from tests.faults.mutants import MUTANTS, Mutant, applies


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_the_patch_still_applies(mutant: Mutant) -> None:
    assert applies(mutant) == ""
    assert mutant.log in SCENARIOS[mutant.scenario].logs
