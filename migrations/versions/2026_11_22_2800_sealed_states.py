"""Room for folded states, and what was last told, as sealed bytes.

Only adds, and asks for less: what is plain stays readable until it is written again or `leadflow leads seal` has run.
"""

from alembic import op

revision = "0028_sealed_states"
down_revision: str | None = "0027_way_of_an_event"
branch_labels = None
depends_on = None

# In place of the columns without `sealed_`, which then are null.
_UP = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE scorer.lead ADD COLUMN sealed_state bytea, ADD COLUMN sealed_published bytea;
ALTER TABLE scorer.shadow_lead ADD COLUMN sealed_state bytea, ALTER COLUMN state DROP NOT NULL
"""

# No model has the version -1, so that states that are lost are computed anew.
_DOWN = """
SET LOCAL lock_timeout = '5s';
UPDATE scorer.lead SET model_version = -1 WHERE sealed_state IS NOT NULL;
DELETE FROM scorer.shadow_lead WHERE state IS NULL;
UPDATE scorer.lead SET shadow_id = NULL WHERE NOT EXISTS (SELECT FROM scorer.shadow_lead WHERE lead_id = id);
ALTER TABLE scorer.shadow_lead DROP COLUMN sealed_state, ALTER COLUMN state SET NOT NULL;
ALTER TABLE scorer.lead DROP COLUMN sealed_state, DROP COLUMN sealed_published
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
