-- Events of OpenLineage (https://openlineage.io), as they are sent to whoever listens, and which columns of an output
-- came from which columns of its inputs.

CREATE TABLE lineage.event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_time timestamptz NOT NULL,
    event_type text NOT NULL CHECK (event_type IN ('START', 'RUNNING', 'COMPLETE', 'ABORT', 'FAIL', 'OTHER')),
    ol_run     uuid NOT NULL,                    -- the event's run: one attempt at one snapshot, gate, promotion ...
    job        text NOT NULL,
    run_id     text,                             -- Airflow's run as the rest of the ledger has it; null by hand
    snapshot   text,                             -- key of the snapshot or model version that it is about
    body       jsonb NOT NULL CHECK (body ->> 'eventType' = event_type AND body -> 'run' ->> 'runId' = ol_run::text),
    kept_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_run ON lineage.event (run_id, id);
CREATE INDEX event_ol_run ON lineage.event (ol_run);
CREATE INDEX event_time ON lineage.event (event_time);
CREATE INDEX event_snapshot ON lineage.event (snapshot) WHERE snapshot IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lineage.event
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON lineage.event
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();

-- The outbox: what is still to be sent, should a receiver be configured; one that comes later gets all from the beginning.
CREATE TABLE lineage.outbox (
    event    bigint PRIMARY KEY REFERENCES lineage.event (id),
    sent_at  timestamptz,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0), -- refusals of this very event
    tried_at timestamptz,
    error    text,
    refused  boolean NOT NULL DEFAULT false      -- whether the last error was one of the event, not of the receiver
);
CREATE INDEX outbox_open ON lineage.outbox (event) WHERE sent_at IS NULL;

CREATE FUNCTION lineage.to_send() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lineage.outbox (event) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER to_send AFTER INSERT ON lineage.event FOR EACH ROW EXECUTE FUNCTION lineage.to_send();

CREATE TABLE lineage.column_edge (
    snapshot       text NOT NULL REFERENCES lake.snapshot (key),
    column_name    text NOT NULL,
    input_dataset  text NOT NULL,
    input_column   text NOT NULL,
    transformation text NOT NULL DEFAULT '',     -- the expression, or what is done, in short
    PRIMARY KEY (snapshot, column_name, input_dataset, input_column)
);
CREATE INDEX column_edge_input ON lineage.column_edge (input_dataset, input_column);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lineage.column_edge
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();

-- Of what is current now: SELECT * FROM ledger.column_lineage WHERE dataset = 'curated.objects' AND column_name = 'parallax'
CREATE VIEW ledger.column_lineage AS
SELECT s.dataset, c.column_name, c.input_dataset, c.input_column, c.transformation, s.key AS snapshot
  FROM lineage.column_edge c JOIN lake.snapshot s ON s.key = c.snapshot WHERE s.state = 'current';

-- What is still to be sent, for people: SELECT * FROM lineage.unsent
CREATE VIEW lineage.unsent AS
SELECT e.id, e.event_time, e.event_type, e.job, o.attempts, o.tried_at, o.error
  FROM lineage.outbox o JOIN lineage.event e ON e.id = o.event WHERE o.sent_at IS NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stellar_reader') THEN
        GRANT SELECT ON ledger.column_lineage, lineage.unsent TO stellar_reader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stellar_pipeline') THEN
        GRANT SELECT ON ledger.column_lineage, lineage.unsent TO stellar_pipeline;
    END IF;
END $$;
