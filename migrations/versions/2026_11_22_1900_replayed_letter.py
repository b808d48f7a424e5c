"""Which dead letters people have sent back to their topics, so that none goes twice by accident."""

from alembic import op

revision = "0019_replayed_letter"
down_revision: str | None = "0018_hot_row"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # By the place of the record that died, which letters of the same record share; the moment tells apart
    # places of the same name on another log. `begun` and not `done`: nobody knows whether it went.
    op.execute("""
        CREATE TABLE log.replayed_letter (
            topic text NOT NULL,
            partition integer NOT NULL,
            "offset" bigint NOT NULL,
            published_at timestamptz NOT NULL,
            state text NOT NULL CHECK (state IN ('begun', 'done')),
            replayed_at timestamptz NOT NULL,
            PRIMARY KEY (topic, partition, "offset", published_at)
        )
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE log.replayed_letter")
