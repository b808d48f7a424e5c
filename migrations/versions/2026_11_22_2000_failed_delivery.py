"""How many deliveries were given up is asked every few seconds by whoever watches; few rows are in the index."""

from alembic import op

revision = "0020_failed_delivery"
down_revision: str | None = "0019_replayed_letter"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE INDEX delivery_failed ON pipeline.delivery (subscription_id) WHERE state = 'failed'")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX pipeline.delivery_failed")
