"""Room for the scorer's names as sealed bytes, found by a keyed digest that stands in place of the name.

Only adds: what is plain stays readable until `leadflow leads seal` has run.
"""

from alembic import op

revision = "0029_sealed_names"
down_revision: str | None = "0028_sealed_states"
branch_labels = None
depends_on = None

# Where `sealed` is set, `value` is the digest, in base64. `sealed_names` is in place of `survivor_names`.
_UP = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE scorer.identity ADD COLUMN sealed bytea;
ALTER TABLE scorer.merge ADD COLUMN sealed_names bytea
"""

# Without their names leads could never be found again.
_REFUSE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM scorer.identity WHERE sealed IS NOT NULL) THEN
        RAISE EXCEPTION 'names of leads are sealed, and the schema of before has no room for those';
    END IF;
END $$
"""
_DOWN = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE scorer.merge DROP COLUMN sealed_names;
ALTER TABLE scorer.identity DROP COLUMN sealed
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    op.execute(_REFUSE)
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
