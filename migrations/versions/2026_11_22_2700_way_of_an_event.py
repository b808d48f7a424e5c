"""What goes with a message besides its trace: `tracestate`, as W3C has it, and when its first event was received.

All of it is null for what was written before, or by a process of the release before.
"""

from alembic import op

from migrations.row_security import set_apart

revision = "0027_way_of_an_event"
down_revision: str | None = "0026_handled"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("scorer.outbox", "tracestate text"),
    ("scorer.outbox", "received_at timestamptz"),
    ("pipeline.outbox", "tracestate text"),
    ("pipeline.outbox", "received_at timestamptz"),
    ("pipeline.webhook_message", "tracestate text"),
    ("ingest.parked", "tracestate text"),
)
_UP = """
-- Messages that follow from an event and that no receiver has taken yet. Whoever deletes a row has made the first
-- delivery: that is what makes it countable once, however many receivers answer at the same time.
CREATE TABLE pipeline.undelivered (
    message_id text PRIMARY KEY,
    received_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in _COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    op.execute(_UP)
    set_apart(
        "pipeline.undelivered",
        "EXISTS (SELECT FROM pipeline.delivery WHERE delivery.message_id = undelivered.message_id)",
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE pipeline.undelivered")
    for table, column in reversed(_COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
