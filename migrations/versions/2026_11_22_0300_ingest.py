"""Schema of ingest."""

from alembic import op

revision = "0003_ingest"
down_revision: str | None = "0002_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA ingest")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA ingest CASCADE")
