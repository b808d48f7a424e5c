"""What is wrong with data keys, roles and row security. Pure: no I/O, no clock."""

from collections.abc import Iterator

from services.command.doctor.findings import Problem
from services.command.doctor.protection import Rights, Role, Sealed

_NAMED = 3


def sealing(found: Sealed, *, is_embedded: bool) -> Iterator[Problem]:
    """Whether what is sealed can be opened, and whether it is protected as well as it could be."""
    for under in found.keys:
        if under.master is not None and under.master not in found.masters:
            yield Problem(
                "failed",
                f"{under.number} data keys are under the master key {under.master}, which LEADFLOW_SEALING_KEYS does "
                f"not have: what they seal cannot be read (data key {under.newest}, for one)",
                "put that master key back, behind the first one; nothing else opens them (docs/erasure.md)",
            )
    if found.damaged:
        yield Problem(
            "failed",
            f"{len(found.damaged)} of {found.looked_at} data keys do not open, although their master key is there: "
            f"{', '.join(found.damaged[:_NAMED])}",
            "restore the schema sealing from its last backup (docs/erasure.md, Backups)",
        )
    if not found.on and found.number:
        yield Problem(
            "warning",
            f"LEADFLOW_SEALING is off, although {found.number} data keys are there: what is new is written as it is, "
            "and erasing a lead does not reach backups of it",
            "once no process of the release before runs: unset LEADFLOW_SEALING, then run `leadflow leads seal`",
        )
    yield from _under_the_wrong_key(found)
    if not found.masters and not is_embedded:
        yield Problem(
            "warning",
            "LEADFLOW_SEALING_KEYS is not set: data keys stand in their table as they are, and whoever has a backup "
            "of it reads everything",
            "openssl rand -base64 32 makes a master key: set it, restart, run `leadflow leads seal`",
        )


def _under_the_wrong_key(found: Sealed) -> Iterator[Problem]:
    if not found.masters:
        return
    bare = sum(under.number for under in found.keys if under.master is None)
    older = sum(under.number for under in found.keys if under.master in found.masters[1:])
    if bare:
        yield Problem(
            "warning",
            f"{bare} data keys stand in their table as they are, from before LEADFLOW_SEALING_KEYS was set",
            "run `leadflow leads seal`",
        )
    if older:
        yield Problem(
            "warning",
            f"{older} data keys are under a master key that is not the first of LEADFLOW_SEALING_KEYS",
            "run `leadflow leads seal`, and only then take the older key away",
        )


def rights(found: Rights, *, is_embedded: bool) -> Iterator[Problem]:
    """Whether PostgreSQL keeps workspaces apart, and services can work. The embedded one has a single login."""
    for role in found.roles:
        yield from _role(role, found.login)
    if found.open_tables:
        yield Problem(
            "failed",
            f"row security is off on {', '.join(found.open_tables)}: there, only queries keep workspaces apart",
            "as the owner of the table: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        )
    if found.login_sees_all and not is_embedded:
        yield Problem(
            "warning",
            f"services log in as {found.login}, a superuser or with BYPASSRLS: a query that takes no role "
            "sees every workspace",
            "give services a login that owns nothing (docs/workspaces.md)",
        )


def _role(role: Role, login: str) -> Iterator[Problem]:
    if not role.exists:
        yield Problem(
            "failed",
            f"there is no role {role.name}: services cannot work",
            f"as a superuser: CREATE ROLE {role.name}; then run `leadflow migrate` (docs/workspaces.md)",
        )
    elif role.sees_all:
        yield Problem(
            "failed",
            f"the role {role.name} is a superuser or has BYPASSRLS: nothing keeps workspaces apart",
            f"ALTER ROLE {role.name} NOSUPERUSER NOBYPASSRLS",
        )
    elif not role.is_taken:
        yield Problem(
            "failed",
            f"the login {login} may not take the role {role.name}: services cannot work",
            f"GRANT {role.name} TO {login}",
        )


def owner(*, not_owned: int, is_elsewhere: bool) -> Iterator[Problem]:
    """Whether LEADFLOW_MIGRATION_DATABASE_URL can do what it is there for."""
    if is_elsewhere:
        yield Problem(
            "failed",
            "LEADFLOW_MIGRATION_DATABASE_URL is another database than LEADFLOW_DATABASE_URL: migrations go astray",
            "let both name the same host, port and database",
        )
    elif not_owned:
        yield Problem(
            "failed",
            f"the login of LEADFLOW_MIGRATION_DATABASE_URL does not own {not_owned} of leadflow's tables: the next "
            "upgrade cannot migrate them",
            "name the owner of the tables there, or make it a member of that role",
        )
