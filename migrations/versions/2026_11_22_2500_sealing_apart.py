"""Row security on data keys, erasures and what was forgotten."""

from alembic import op

from migrations.row_security import open_schema, set_apart

revision = "0025_sealing_apart"
down_revision: str | None = "0024_row_security"
branch_labels = None
depends_on = None

_TABLES = ("sealing.data_key", "sealing.erasure", "scorer.forgotten")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    open_schema("sealing")
    for table in _TABLES:
        set_apart(table)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY own_workspace ON {table}")
        op.execute(f"DROP POLICY all_workspaces ON {table}")
        op.execute(f"REVOKE ALL ON {table} FROM leadflow_app, leadflow_worker")
    op.execute("REVOKE ALL ON SCHEMA sealing FROM leadflow_app, leadflow_worker")
