"""What a caller may do."""

import pytest

from shared.access.principal import Principal, Scope


@pytest.mark.parametrize("wanted", Scope)
@pytest.mark.parametrize("held", Scope)
def test_a_key_opens_what_it_holds_and_admin_opens_all(held: Scope, wanted: Scope) -> None:
    principal = Principal("default", "k", frozenset({held}))

    assert principal.may(wanted) is (held in {wanted, Scope.ADMIN})
