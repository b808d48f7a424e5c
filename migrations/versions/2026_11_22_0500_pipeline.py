"""Schema of pipeline."""

from alembic import op

revision = "0005_pipeline"
down_revision: str | None = "0004_scorer"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA pipeline")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA pipeline CASCADE")
