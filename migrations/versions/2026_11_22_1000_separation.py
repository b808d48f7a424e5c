"""Merges can be taken back: which were, and which leads are never to become one again by themselves."""

from alembic import op

revision = "0010_separation"
down_revision: str | None = "0009_models"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- `survivor_names` are those that the survivor had before: [kind, value] each; null where nobody noted them.
-- `merged_by` and `because` are of a merge that a person decided, not an event.
ALTER TABLE scorer.merge ADD COLUMN survivor_names jsonb, ADD COLUMN merged_by text, ADD COLUMN because text,
    ADD COLUMN undone_at timestamptz, ADD COLUMN undone_by text, ADD COLUMN undone_because text;
CREATE INDEX merge_standing ON scorer.merge (survivor, absorbed) WHERE undone_at IS NULL;

-- Two leads that a person has set apart, the smaller id first.
CREATE TABLE scorer.separation (
    workspace text NOT NULL,
    one uuid NOT NULL REFERENCES scorer.lead (id),
    other uuid NOT NULL REFERENCES scorer.lead (id),
    separated_at timestamptz NOT NULL,
    separated_by text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (one, other)
);
CREATE INDEX separation_by_other ON scorer.separation (other);

-- How often names were taken from a lead: whoever looked a name up before must look again.
ALTER TABLE scorer.lead ADD COLUMN partings integer NOT NULL DEFAULT 0
"""

_DOWN = """
SET LOCAL lock_timeout = '5s';
ALTER TABLE scorer.lead DROP COLUMN partings;
DROP TABLE scorer.separation;
DROP INDEX scorer.merge_standing;
ALTER TABLE scorer.merge DROP COLUMN undone_because, DROP COLUMN undone_by, DROP COLUMN undone_at,
    DROP COLUMN because, DROP COLUMN merged_by, DROP COLUMN survivor_names
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
