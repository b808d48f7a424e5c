"""Since when a receiver takes messages again: what had waited for it until then says nothing about leadflow."""

from alembic import op

revision = "0021_healthy_since"
down_revision: str | None = "0020_failed_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.subscription ADD COLUMN healthy_since timestamptz")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE pipeline.subscription DROP COLUMN healthy_since")
