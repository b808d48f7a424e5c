"""Webhook sources: who may send in whose name, proven by which secrets."""

from alembic import op

revision = "0003_ingest"
down_revision: str | None = "0002_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA ingest")
    # The id is part of a public URL, so it is unique across workspaces.
    op.execute(r"""
        CREATE TABLE ingest.source (
            id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
            workspace text NOT NULL,
            kind text NOT NULL,
            secrets jsonb NOT NULL CHECK (jsonb_typeof(secrets) = 'array'),
            public_url text,
            event_names jsonb NOT NULL CHECK (jsonb_typeof(event_names) = 'object'),
            time_zone text NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX source_by_workspace ON ingest.source (workspace, id)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA ingest CASCADE")
