"""Where a message comes from: the trace context that goes with it while it lies in PostgreSQL.

`traceparent` is W3C's header as text; `trace_id`, kept with events and timelines, its first half. Null for what was
written before, or by a process of the release before.
"""

from alembic import op

revision = "0022_traces"
down_revision: str | None = "0021_healthy_since"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("scorer.outbox", "traceparent text"),
    ("pipeline.outbox", "traceparent text"),
    ("pipeline.webhook_message", "traceparent text"),
    ("ingest.parked", "traceparent text"),
    ("scorer.event", "trace_id uuid"),
    ("pipeline.timeline", "trace_id uuid"),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in _COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in _COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
