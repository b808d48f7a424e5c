"""The feed: everything that was told, numbered in the order in which it became visible."""

from alembic import op

revision = "0014_feed"
down_revision: str | None = "0011_recomputing"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- Positions are given out under a lock per workspace that is held to the commit: whoever has read up to one
-- has missed none before it. The bodies are those of webhook_message.
CREATE TABLE pipeline.feed (
    position bigint GENERATED ALWAYS AS IDENTITY,
    workspace text NOT NULL,
    message_id text NOT NULL REFERENCES pipeline.webhook_message (id),
    type text NOT NULL,
    lead_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, position)
);
CREATE UNIQUE INDEX feed_message ON pipeline.feed (message_id);
CREATE INDEX feed_by_age ON pipeline.feed (created_at);

-- The last position that is no longer kept: a reader that stands before it has missed something, and is told so.
CREATE TABLE pipeline.feed_horizon (
    workspace text PRIMARY KEY,
    position bigint NOT NULL
);
"""


def upgrade() -> None:
    for statement in _UP.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE pipeline.feed, pipeline.feed_horizon")
