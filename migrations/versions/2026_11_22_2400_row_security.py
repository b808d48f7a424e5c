"""Row security on every table of a workspace, and the two roles that services work as.

The release before connects as the owner of the tables and knows no roles. The owner becomes a member of
`leadflow_worker`, which sees all, so its processes go on while this release is rolled out.
"""

from alembic import op

from migrations.row_security import for_workers, open_schema, set_apart

revision = "0024_row_security"
down_revision: str | None = "0023_sealing"
branch_labels = None
depends_on = None

_SCHEMAS = ("access", "ingest", "scorer", "pipeline")
_OF_A_WORKSPACE = (
    "access.api_key",
    "ingest.source",
    "ingest.parked",
    "scorer.model",
    "scorer.activation",
    "scorer.lead",
    "scorer.identity",
    "scorer.event",
    "scorer.merge",
    "scorer.separation",
    "scorer.draft",
    "scorer.shadow",
    "scorer.rebuild",
    "scorer.simulation",
    "pipeline.document",
    "pipeline.activation",
    "pipeline.lead",
    "pipeline.standing",
    "pipeline.hot_row",
    "pipeline.lead_report",
    "pipeline.scored_model",
    "pipeline.timeline",
    "pipeline.stay",
    "pipeline.due",
    "pipeline.subscription",
    "pipeline.feed",
    "pipeline.feed_horizon",
)
# Their rows are those of a row that has a workspace; what the conditions read is subject to row security itself.
_THROUGH_ANOTHER = {
    "access.workspace": "id = current_setting('leadflow.workspace', true)",
    "scorer.due": "EXISTS (SELECT FROM scorer.lead WHERE lead.id = lead_id)",
    "scorer.shadow_lead": "EXISTS (SELECT FROM scorer.shadow WHERE shadow.id = shadow_id)",
    "scorer.rebuild_part": "EXISTS (SELECT FROM scorer.rebuild WHERE rebuild.id = rebuild_id)",
    "pipeline.delivery": "EXISTS (SELECT FROM pipeline.subscription WHERE subscription.id = subscription_id)",
    "pipeline.delivery_attempt": "EXISTS (SELECT FROM pipeline.delivery WHERE delivery.id = delivery_id)",
}
# Written before the rows that make it somebody's.
_MESSAGE = (
    "EXISTS (SELECT FROM pipeline.feed WHERE feed.message_id = webhook_message.id)"
    " OR EXISTS (SELECT FROM pipeline.delivery WHERE delivery.message_id = webhook_message.id)"
)
_OUTBOXES = ("scorer.outbox", "pipeline.outbox")

_ROLES = """
DO $roles$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['leadflow_app', 'leadflow_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- Another database of this server was migrated at the same time.
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
        IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = wanted) THEN
            RAISE EXCEPTION 'the role % must be neither superuser nor BYPASSRLS', wanted;
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
        'as a superuser: CREATE ROLE leadflow_app; CREATE ROLE leadflow_worker; '
        'GRANT leadflow_app, leadflow_worker TO %I', current_user);
END $roles$
"""
# What an index of the kind GIN answers is not applied before row security, and so would not be by index. These
# look by index, with the rights of their owner, within the workspace that the transaction is of.
_FINDERS = {
    "leads_with_email(email text)": "emails @> ARRAY[email]",
    "leads_with_attributes(wanted jsonb)": "attributes @> wanted",
}


def upgrade() -> None:
    op.execute(_ROLES)
    op.execute("GRANT SELECT ON alembic_version TO PUBLIC")
    for schema in (*_SCHEMAS, "log"):
        open_schema(schema)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA log TO leadflow_worker")
    for outbox in _OUTBOXES:
        for_workers(outbox, filled_by_requests=True)
    for signature, condition in _FINDERS.items():
        op.execute(f"""
            CREATE OR REPLACE FUNCTION pipeline.{signature} RETURNS SETOF uuid
            LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog ROWS 100 AS $find$
                SELECT id FROM pipeline.lead
                WHERE workspace = current_setting('leadflow.workspace', true) AND {condition}
            $find$
        """)
        op.execute(f"REVOKE EXECUTE ON FUNCTION pipeline.{signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION pipeline.{signature} TO leadflow_app")
    # Table by table, each for itself: whoever held the locks of all of them would wait in the way of everybody.
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        for table in _OF_A_WORKSPACE:
            set_apart(table)
        for table, own in _THROUGH_ANOTHER.items():
            set_apart(table, own)
        set_apart("pipeline.webhook_message", _MESSAGE, new="true")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (*_OF_A_WORKSPACE, *_THROUGH_ANOTHER, "pipeline.webhook_message"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY own_workspace ON {table}")
        op.execute(f"DROP POLICY all_workspaces ON {table}")
    for signature in _FINDERS:
        op.execute(f"DROP FUNCTION pipeline.{signature}")
    op.execute("REVOKE SELECT ON alembic_version FROM PUBLIC")
    # The roles stay: other databases of the server may use them.
    for schema in (*_SCHEMAS, "log"):
        op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM leadflow_app, leadflow_worker")
        op.execute(f"REVOKE ALL ON SCHEMA {schema} FROM leadflow_app, leadflow_worker")
