"""What the hot list scans: one narrow row per lead, with all that it can be filtered by, in place of wide joins."""

from alembic import op

revision = "0018_hot_row"
down_revision: str | None = "0017_lead_report"
branch_labels = None
depends_on = None

_UP = """
SET LOCAL lock_timeout = '5s';

-- The arrays go together: per score of the lead's model its band, and a ceiling that no later value exceeds.
-- No index but the key: everything here changes with events, and an index would make each change dearer.
CREATE TABLE pipeline.hot_row (
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    stage text,
    owner text,
    source text,
    grade text,
    scores text[],
    ceilings double precision[],
    bands text[],
    PRIMARY KEY (workspace, lead_id)
) WITH (fillfactor = 80);

INSERT INTO pipeline.hot_row (workspace, lead_id, stage, owner, source, grade, scores, ceilings, bands)
SELECT lead.workspace, lead.id, stage, owner, source, grade, scores, ceilings,
       (SELECT array_agg(standing.bands ->> score ORDER BY score) FROM unnest(scores) AS score)
FROM pipeline.lead
LEFT JOIN pipeline.standing ON standing.workspace = lead.workspace AND standing.lead_id = lead.id
LEFT JOIN (
    SELECT workspace, lead_id, array_agg(score ORDER BY score) AS scores,
           array_agg(ceiling ORDER BY score) AS ceilings
    FROM pipeline.ceiling GROUP BY workspace, lead_id
) AS bound ON bound.workspace = lead.workspace AND bound.lead_id = lead.id
WHERE absorbed_by IS NULL;

DROP TABLE pipeline.ceiling;
ALTER TABLE pipeline.standing DROP COLUMN grade, DROP COLUMN bands;
ALTER TABLE pipeline.lead DROP COLUMN stage, DROP COLUMN owner, DROP COLUMN source;

-- By what hardly ever changes: most events leave both columns as they are, and cost these indexes nothing.
CREATE INDEX lead_by_email ON pipeline.lead USING gin (emails);
CREATE INDEX lead_by_attribute ON pipeline.lead USING gin (attributes jsonb_path_ops);
-- Without it the first hot lists would be planned for an empty table, on one core.
ANALYZE pipeline.hot_row;
"""

_DOWN = """
SET LOCAL lock_timeout = '5s';
DROP INDEX pipeline.lead_by_email, pipeline.lead_by_attribute;
ALTER TABLE pipeline.lead ADD COLUMN stage text, ADD COLUMN owner text, ADD COLUMN source text;
ALTER TABLE pipeline.standing ADD COLUMN grade text, ADD COLUMN bands jsonb NOT NULL DEFAULT '{}';
CREATE TABLE pipeline.ceiling (
    workspace text NOT NULL,
    score text NOT NULL,
    lead_id uuid NOT NULL,
    ceiling double precision NOT NULL,
    PRIMARY KEY (workspace, score, lead_id)
) WITH (fillfactor = 80);
UPDATE pipeline.lead SET stage = hot_row.stage, owner = hot_row.owner, source = hot_row.source
FROM pipeline.hot_row WHERE hot_row.workspace = lead.workspace AND hot_row.lead_id = lead.id;
UPDATE pipeline.standing SET grade = hot_row.grade,
    bands = (SELECT jsonb_object_agg(score, band) FROM unnest(scores, hot_row.bands) AS item (score, band))
FROM pipeline.hot_row
WHERE hot_row.workspace = standing.workspace AND hot_row.lead_id = standing.lead_id AND scores IS NOT NULL;
INSERT INTO pipeline.ceiling (workspace, score, lead_id, ceiling)
SELECT workspace, score, lead_id, ceiling FROM pipeline.hot_row, unnest(scores, ceilings) AS item (score, ceiling);
DROP TABLE pipeline.hot_row;
"""


def upgrade() -> None:
    _run(_UP)


def downgrade() -> None:
    _run(_DOWN)


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            op.execute(statement)
