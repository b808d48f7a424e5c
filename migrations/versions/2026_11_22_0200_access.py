"""Workspaces and the API keys that open them."""

from alembic import op

revision = "0002_access"
down_revision: str | None = "0001_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA access")
    op.execute(r"""
        CREATE TABLE access.workspace (
            id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("INSERT INTO access.workspace (id, created_at) VALUES ('default', now())")
    op.execute("""
        CREATE TABLE access.api_key (
            key_id text PRIMARY KEY,
            workspace text NOT NULL REFERENCES access.workspace (id),
            name text NOT NULL,
            scopes text[] NOT NULL,
            digest bytea NOT NULL CHECK (octet_length(digest) = 32),
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz
        )
    """)
    op.execute("CREATE INDEX api_key_by_workspace ON access.api_key (workspace, created_at)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA access CASCADE")
