-- What people decided about rows in quarantine. Of a row and a reason the newest decision counts.

CREATE TABLE quality.decision (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset    text NOT NULL REFERENCES lake.dataset (name) CHECK (dataset LIKE 'quarantine.%'),
    row_id     text NOT NULL CHECK (row_id ~ '^[0-9a-f]{64}$'), -- SHA-256 of the row's values, whichever batch brought it
    reason     text NOT NULL CHECK (reason <> ''),    -- why it was refused, as the row says
    decision   text NOT NULL CHECK (decision IN ('release', 'discard', 'reopen')),
    who        text NOT NULL CHECK (who <> ''),
    why        text NOT NULL CHECK (why <> ''),
    batch_id   text NOT NULL,                         -- that brought the row when it was decided upon
    source_id  text,                                  -- its id in the curated dataset, where it has one
    place      bigint,                                -- HEALPix index of order 29, where it has a position
    content    jsonb NOT NULL DEFAULT '{}',           -- the row as the person saw it, without arrays
    decided_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX decision_row ON quality.decision (dataset, row_id, reason, id DESC);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON quality.decision
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON quality.decision
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();

CREATE VIEW quality.decided AS
SELECT DISTINCT ON (dataset, row_id, reason) * FROM quality.decision ORDER BY dataset, row_id, reason, id DESC;
