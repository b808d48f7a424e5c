"""Drafts of models; a version scored in the shadow of the active one, lead by lead."""

from alembic import op

revision = "0009_models"
down_revision: str | None = "0008_lead_order"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- A document that somebody works on; it may be invalid, and changes.
CREATE TABLE scorer.draft (
    workspace text NOT NULL,
    name text NOT NULL,
    document json NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (workspace, name)
);

-- Each time that a version was scored in the shadow. At most one runs in a workspace. `activation_id` is the
-- decision that ended it by making its version the active one, which may then take over its states.
CREATE TABLE scorer.shadow (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text NOT NULL,
    version integer NOT NULL,
    started_at timestamptz NOT NULL,
    started_by text NOT NULL,
    reason text NOT NULL,
    ended_at timestamptz,
    ended_by text,
    activation_id bigint REFERENCES scorer.activation (id),
    FOREIGN KEY (workspace, version) REFERENCES scorer.model (workspace, version)
);
CREATE UNIQUE INDEX shadow_running ON scorer.shadow (workspace) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX shadow_by_activation ON scorer.shadow (activation_id) WHERE activation_id IS NOT NULL;

-- A lead's state under the shadow, and where both models saw it when last compared.
CREATE TABLE scorer.shadow_lead (
    lead_id uuid PRIMARY KEY REFERENCES scorer.lead (id),
    shadow_id bigint NOT NULL REFERENCES scorer.shadow (id),
    state jsonb NOT NULL,
    active_version integer NOT NULL,
    compared_at timestamptz NOT NULL,
    due_at timestamptz,
    scores jsonb NOT NULL,
    bands jsonb NOT NULL,
    grades text[] NOT NULL,
    thresholds jsonb NOT NULL,
    widest double precision NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX shadow_lead_by_shadow ON scorer.shadow_lead (shadow_id);
CREATE INDEX shadow_lead_by_moment ON scorer.shadow_lead (due_at) WHERE due_at IS NOT NULL;

-- Which shadow has this lead; another than the running one (or none): it is yet to be reached. Set to null to
-- have it computed again.
ALTER TABLE scorer.lead ADD COLUMN shadow_id bigint;
CREATE INDEX lead_by_shadow ON scorer.lead (workspace, shadow_id) WHERE merged_into IS NULL
"""

_DOWN = """
SET LOCAL lock_timeout = '5s';
DROP INDEX scorer.lead_by_shadow;
ALTER TABLE scorer.lead DROP COLUMN shadow_id;
DROP TABLE scorer.shadow_lead;
DROP TABLE scorer.shadow;
DROP TABLE scorer.draft
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
