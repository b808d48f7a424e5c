-- The role that Grafana's dashboard of a workspace reads as. By the owner of leadflow's tables, or a superuser, after
-- `leadflow migrate`; it may be repeated. It sees all workspaces, and in them counts, states and times: no names, no
-- attributes, no messages, no addresses of receivers, no secrets. Then give it a login:
--
--     CREATE ROLE grafana LOGIN PASSWORD '...' IN ROLE leadflow_reader;
--     ALTER ROLE grafana SET default_transaction_read_only = on;
--     ALTER ROLE grafana SET statement_timeout = '10s';

DO $reader$
DECLARE seen text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'leadflow_reader') THEN
        CREATE ROLE leadflow_reader NOLOGIN;
    END IF;
    FOREACH seen IN ARRAY ARRAY[
        'access.workspace', 'access.api_key', 'ingest.parked', 'scorer.activation', 'pipeline.hot_row',
        'pipeline.lead_report', 'pipeline.feed', 'pipeline.subscription', 'pipeline.delivery',
        'pipeline.delivery_attempt'
    ] LOOP
        EXECUTE format('DROP POLICY IF EXISTS reader ON %s', seen);
        EXECUTE format('CREATE POLICY reader ON %s FOR SELECT TO leadflow_reader USING (true)', seen);
    END LOOP;
END $reader$;

GRANT USAGE ON SCHEMA access, ingest, scorer, pipeline TO leadflow_reader;
GRANT SELECT (id) ON access.workspace TO leadflow_reader;
GRANT SELECT (workspace, expires_at, revoked_at) ON access.api_key TO leadflow_reader;
GRANT SELECT (workspace, source, code, state) ON ingest.parked TO leadflow_reader;
GRANT SELECT (id, workspace, version, activated_at) ON scorer.activation TO leadflow_reader;
GRANT SELECT (workspace, stage, scores, bands) ON pipeline.hot_row TO leadflow_reader;
GRANT SELECT (workspace, entered_at, outcome, source) ON pipeline.lead_report TO leadflow_reader;
GRANT SELECT (workspace, type, created_at) ON pipeline.feed TO leadflow_reader;
GRANT SELECT (id, workspace, state) ON pipeline.subscription TO leadflow_reader;
GRANT SELECT (subscription_id, state, created_at) ON pipeline.delivery TO leadflow_reader;
GRANT SELECT (subscription, at, status) ON pipeline.delivery_attempt TO leadflow_reader;
