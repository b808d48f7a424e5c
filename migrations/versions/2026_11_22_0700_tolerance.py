"""How old an attempt of a source may be, where the platform leaves that to whoever receives it."""

from alembic import op

revision = "0007_tolerance"
down_revision: str | None = "0006_parked"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE ingest.source ADD COLUMN tolerance_seconds integer CHECK (tolerance_seconds > 0)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE ingest.source DROP COLUMN tolerance_seconds")
