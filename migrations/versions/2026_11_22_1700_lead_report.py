"""What reports count: a narrow row per lead, and in the lead's state the way it has gone.

Leads that are there already get both from their stage histories. Their last touch, the model that scored them and
when they qualified are not known of the past; campaigns neither.
"""

from alembic import op

revision = "0017_lead_report"
down_revision: str | None = "0016_endpoints"
branch_labels = None
depends_on = None

# Reports scan it whole, in parallel: there is no index but the key, because everything else changes.
_UP = """
CREATE TABLE pipeline.lead_report (
    workspace text NOT NULL,
    lead_id uuid NOT NULL,
    seen_at timestamptz,
    entered_at timestamptz,
    since timestamptz,
    due_at timestamptz,
    closed_at timestamptz,
    qualified_at timestamptz,
    amount double precision,
    probability double precision,
    close_date date,
    currency text,
    stage text,
    outcome text,
    owner text,
    model text,
    source text,
    medium text,
    campaign text,
    last_source text,
    last_medium text,
    last_campaign text,
    path text NOT NULL,
    entered integer[] NOT NULL,
    spent integer[] NOT NULL,
    thresholds text[] NOT NULL,
    facts jsonb NOT NULL,
    PRIMARY KEY (workspace, lead_id),
    FOREIGN KEY (workspace, lead_id) REFERENCES pipeline.lead (workspace, id) ON DELETE CASCADE
) WITH (fillfactor = 85)
"""


# Every stage once, in the order of first coming there, with the time of the stays that are over.
_JOURNEYS = """
UPDATE pipeline.lead SET state = CAST(
    jsonb_set(CAST(state AS jsonb), '{past}', jsonb_build_object('journey', found.journey)) AS json)
FROM (
    SELECT workspace, lead_id, jsonb_agg(
        jsonb_build_object('stage', stage, 'entered_at', entered_at, 'seconds', seconds, 'ending', ending)
        ORDER BY entered_at, place) AS journey
    FROM (
        SELECT workspace, lead_id, stage, min(at) AS entered_at, min(id) AS place, max(ending) AS ending,
            coalesce(sum(date_part('epoch', left_at - at)), 0) AS seconds
        FROM (
            SELECT workspace, lead_id, id, at, data ->> 'to_stage' AS stage, data ->> 'terminal' AS ending,
                lead(at) OVER (PARTITION BY workspace, lead_id ORDER BY at, id) AS left_at
            FROM pipeline.stay
        ) AS stay
        GROUP BY workspace, lead_id, stage
    ) AS passage
    GROUP BY workspace, lead_id
) AS found
WHERE lead.workspace = found.workspace AND lead.id = found.lead_id AND lead.state IS NOT NULL
    AND lead.absorbed_by IS NULL
"""
_ROWS = """
INSERT INTO pipeline.lead_report (workspace, lead_id, seen_at, entered_at, since, due_at, closed_at, amount, currency,
    stage, outcome, owner, source, last_source, path, entered, spent, thresholds, facts)
SELECT lead.workspace, lead.id, CAST(now.state #>> '{first_touch,at}' AS timestamptz), way.entered_at, stay.since,
    CASE WHEN way.outcome IS NULL THEN stay.due_at END, CASE WHEN way.outcome IS NOT NULL THEN stay.since END,
    CASE WHEN known.facts ->> 'amount' ~ '^-?[0-9]{1,15}([.][0-9]{1,9})?$'
        THEN CAST(known.facts ->> 'amount' AS double precision) END,
    known.facts ->> 'currency', lead.stage, way.outcome, lead.owner, lead.source, lead.source,
    coalesce(way.path, lead.stage, ''), coalesce(way.entered, '{}'), coalesce(way.spent, '{}'),
    ARRAY(
        SELECT key FROM jsonb_each(coalesce(now.state -> 'thresholds', '{}')) AS threshold
        WHERE threshold.value ->> 'entered_at' IS NOT NULL ORDER BY key
    ),
    known.facts
FROM (SELECT *, CAST(lead.state AS jsonb) AS parsed FROM pipeline.lead WHERE absorbed_by IS NULL) AS lead
CROSS JOIN LATERAL (SELECT lead.parsed AS state) AS now
CROSS JOIN LATERAL (
    SELECT CAST(now.state #>> '{stay,since}' AS timestamptz) AS since,
        CAST(now.state #>> '{stay,due_at}' AS timestamptz) AS due_at
) AS stay
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(name, value), '{}') AS facts
    FROM (
        SELECT key AS name, value FROM jsonb_each(lead.attributes)
        WHERE NOT coalesce(now.state -> 'deal', '{}') ? key
        UNION ALL
        SELECT key, fact -> 'value' FROM jsonb_each(coalesce(now.state -> 'deal', '{}')) AS deal (key, fact)
    ) AS fact
    WHERE jsonb_typeof(value) IN ('number', 'boolean')
        OR (jsonb_typeof(value) = 'string' AND length(value #>> '{}') BETWEEN 1 AND 200)
) AS known
CROSS JOIN LATERAL (
    SELECT min(entered_at) AS entered_at, string_agg(stage, '>' ORDER BY place) AS path,
        max(ending) FILTER (WHERE stage = lead.stage) AS outcome,
        array_agg(CAST(date_part('epoch', entered_at - first_at) AS integer) ORDER BY place) AS entered,
        array_agg(CASE WHEN stage <> lead.stage THEN CAST(seconds AS integer) END ORDER BY place) AS spent
    FROM (
        SELECT place, passage ->> 'stage' AS stage, passage ->> 'ending' AS ending,
            CAST(passage ->> 'entered_at' AS timestamptz) AS entered_at,
            CAST(passage ->> 'seconds' AS double precision) AS seconds,
            CAST(now.state #>> '{past,journey,0,entered_at}' AS timestamptz) AS first_at
        FROM jsonb_array_elements(coalesce(now.state #> '{past,journey}', '[]'))
            WITH ORDINALITY AS item (passage, place)
    ) AS step
) AS way
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_UP)
    op.execute(_JOURNEYS)
    op.execute(_ROWS)
    # Without it the first reports would be planned for an empty table.
    op.execute("ANALYZE pipeline.lead_report")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE pipeline.lead_report")
