"""Row security: what a migration says of each of its tables, so that workspaces stay apart in it.

Two roles work with the tables, and a transaction of a service takes one of them (shared/db/reach.py):
`leadflow_app` sees the rows of the workspace that `leadflow.workspace` names, and none where nothing is named;
`leadflow_worker` sees all. Both are names, without a login, and own nothing.

A new table with a column `workspace`:

    from migrations.row_security import set_apart
    set_apart("pipeline.note")

One without it, whose rows belong to a row that has one: `set_apart("pipeline.note_line", "EXISTS (SELECT FROM
pipeline.note WHERE note.id = note_id)")`; the condition is subject to row security itself. One that requests have
no business with: `for_workers("pipeline.ticket")`. Nothing else makes a table visible to a service.

What is here is history as the migrations are: it is added to, and never changed.
"""

from alembic import op

_APP, _WORKER = "leadflow_app", "leadflow_worker"
# Once a transaction has named a workspace, its connection says '' after it, which is the name of nobody's rows.
_OWN = "workspace = nullif(current_setting('leadflow.workspace', true), '')"


def set_apart(table: str, own: str = _OWN, *, new: str | None = None) -> None:
    """Let requests see of `table` the rows of their workspace: those that `own` is true of; write those of `new`.

    One statement, so that nobody sees the table in between; it may be repeated.
    """
    op.execute(f"""
        DO $apart$ BEGIN
            GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {_APP}, {_WORKER};
            IF NOT EXISTS (
                SELECT FROM pg_policy WHERE polrelid = '{table}'::regclass AND polname = 'own_workspace'
            ) THEN
                CREATE POLICY own_workspace ON {table} TO {_APP} USING ({own}) WITH CHECK ({new or own});
                CREATE POLICY all_workspaces ON {table} TO {_WORKER} USING (true) WITH CHECK (true);
            END IF;
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        END $apart$
    """)


def for_workers(table: str, *, filled_by_requests: bool = False) -> None:
    """Let only work that spans workspaces see `table`; requests may add rows if they must, unseen."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {_WORKER}")
    if filled_by_requests:
        op.execute(f"GRANT INSERT ON {table} TO {_APP}")


def open_schema(schema: str) -> None:
    """Let services name the tables of a new schema at all."""
    op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {_APP}, {_WORKER}")
