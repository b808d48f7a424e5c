"""Why a pipeline was published, and the history of which version counted: when, by whom, for what reason."""

from alembic import op

revision = "0015_activation"
down_revision: str | None = "0014_feed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.document ADD COLUMN reason text NOT NULL DEFAULT ''")
    op.execute("""
        CREATE TABLE pipeline.activation (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            workspace text NOT NULL,
            version integer NOT NULL,
            activated_at timestamptz NOT NULL,
            activated_by text NOT NULL,
            reason text NOT NULL
        )
    """)
    op.execute("CREATE INDEX activation_by_workspace ON pipeline.activation (workspace, id)")
    # Until now whatever was published counted from then on.
    op.execute("""
        INSERT INTO pipeline.activation (workspace, version, activated_at, activated_by, reason)
        SELECT workspace, version, published_at, published_by, '' FROM pipeline.document ORDER BY workspace, version
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE pipeline.activation")
    op.execute("ALTER TABLE pipeline.document DROP COLUMN reason")
