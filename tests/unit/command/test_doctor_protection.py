"""What the doctor says of keys and roles: each thing that can be wrong, alone, and nothing where all is well."""

from dataclasses import replace

import pytest

from services.command.doctor import judging_protection
from services.command.doctor.findings import Problem
from services.command.doctor.protection import KeysUnder, Rights, Role, Sealed

FINE = Sealed((KeysUnder("first", 5, "k1"),), looked_at=5, damaged=(), masters=("first", "older"), on=True)
APP, WORKER = (Role(name, exists=True, sees_all=False, is_taken=True) for name in ("leadflow_app", "leadflow_worker"))
RIGHTS = Rights("services", login_sees_all=False, roles=(APP, WORKER), open_tables=())


def of_sealing(found: Sealed, *, is_embedded: bool = False) -> list[Problem]:
    return list(judging_protection.sealing(found, is_embedded=is_embedded))


def test_keys_under_the_first_master_key_are_fine() -> None:
    assert of_sealing(FINE) == []


@pytest.mark.parametrize(
    ("found", "severity", "what", "remedy"),
    [
        (
            replace(FINE, keys=(KeysUnder("gone", 3, "k7"),)),
            "failed",
            "the master key gone",
            "put that master key back",
        ),
        (replace(FINE, damaged=("k1", "k2", "k3", "k4")), "failed", "4 of 5 data keys", "restore the schema sealing"),
        (replace(FINE, on=False), "warning", "although 5 data keys are there", "unset LEADFLOW_SEALING"),
        (replace(FINE, keys=(KeysUnder(None, 2, "k3"),)), "warning", "2 data keys stand", "leadflow leads seal"),
        (replace(FINE, keys=(KeysUnder("older", 2, "k3"),)), "warning", "not the first", "leadflow leads seal"),
        (replace(FINE, keys=(), masters=()), "warning", "is not set", "openssl rand -base64 32"),
    ],
    ids=["the master key is gone", "damaged", "off", "as they are", "an older master key", "no master key"],
)
def test_what_is_wrong_with_keys_is_said_with_what_to_do(
    found: Sealed, severity: str, what: str, remedy: str
) -> None:
    (problem,) = of_sealing(found)

    assert (problem.severity, what in problem.what, remedy in problem.remedy) == (severity, True, True)


def test_few_damaged_keys_are_named() -> None:
    (problem,) = of_sealing(replace(FINE, damaged=("k1", "k2", "k3", "k4")))

    assert problem.what.endswith("k1, k2, k3")


def test_sealing_that_is_off_before_anything_was_sealed_is_a_choice() -> None:
    assert of_sealing(replace(FINE, keys=(), on=False)) == []


def test_who_tries_leadflow_out_needs_no_master_key() -> None:
    assert of_sealing(replace(FINE, keys=(KeysUnder(None, 2, "k3"),), masters=()), is_embedded=True) == []


def test_roles_that_see_their_own_workspace_are_fine() -> None:
    assert list(judging_protection.rights(RIGHTS, is_embedded=False)) == []


def test_the_embedded_postgresql_has_a_login_of_its_own_that_may_see_all() -> None:
    assert list(judging_protection.rights(replace(RIGHTS, login_sees_all=True), is_embedded=True)) == []


@pytest.mark.parametrize(
    ("found", "severity", "what", "remedy"),
    [
        (
            replace(RIGHTS, roles=(replace(APP, exists=False), WORKER)),
            "failed",
            "no role leadflow_app",
            "CREATE ROLE",
        ),
        (replace(RIGHTS, roles=(replace(APP, sees_all=True), WORKER)), "failed", "BYPASSRLS", "NOBYPASSRLS"),
        (
            replace(RIGHTS, roles=(APP, replace(WORKER, is_taken=False))),
            "failed",
            "services may not take the role leadflow_worker",
            "GRANT leadflow_worker TO services",
        ),
        (
            replace(RIGHTS, open_tables=("pipeline.lead",)),
            "failed",
            "off on pipeline.lead",
            "FORCE ROW LEVEL SECURITY",
        ),
        (replace(RIGHTS, login_sees_all=True), "warning", "log in as services", "a login that owns nothing"),
    ],
    ids=["no role", "a role that sees all", "a role that is not granted", "an open table", "a superuser"],
)
def test_what_is_wrong_with_roles_is_said_with_what_to_do(
    found: Rights, severity: str, what: str, remedy: str
) -> None:
    (problem,) = judging_protection.rights(found, is_embedded=False)

    assert (problem.severity, what in problem.what, remedy in problem.remedy) == (severity, True, True)


@pytest.mark.parametrize(
    ("not_owned", "is_elsewhere", "what"),
    [(0, True, "another database"), (3, True, "another database"), (3, False, "does not own 3")],
)
def test_an_owner_who_cannot_migrate_is_said(not_owned: int, is_elsewhere: bool, what: str) -> None:
    (problem,) = judging_protection.owner(not_owned=not_owned, is_elsewhere=is_elsewhere)

    assert (problem.severity, what in problem.what) == ("failed", True)
    assert list(judging_protection.owner(not_owned=0, is_elsewhere=False)) == []
