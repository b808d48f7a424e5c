"""Schema of scorer."""

from alembic import op

revision = "0004_scorer"
down_revision: str | None = "0003_ingest"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA scorer")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA scorer CASCADE")
