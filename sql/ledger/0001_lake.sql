-- Datasets, their snapshots and partitions. A snapshot lives building -> candidate -> current -> retired, or rejected.

CREATE SCHEMA lake;
CREATE SCHEMA quality;

CREATE TABLE lake.dataset (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$'),
    layer       text GENERATED ALWAYS AS (split_part(name, '.', 1)) STORED,
    subject     text GENERATED ALWAYS AS (split_part(name, '.', 2)) STORED,
    id_column   text,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lake.snapshot (
    key              text PRIMARY KEY CHECK (key ~ '^[0-9a-f]{64}$'),
    dataset          text NOT NULL REFERENCES lake.dataset (name),
    step             text NOT NULL,
    step_version     integer NOT NULL,
    params           jsonb NOT NULL DEFAULT '{}',
    state            text NOT NULL DEFAULT 'building'
                     CHECK (state IN ('building', 'candidate', 'current', 'retired', 'rejected')),
    state_reason     text,
    rows             bigint CHECK (rows >= 0),
    bytes            bigint CHECK (bytes >= 0),
    partitions       integer CHECK (partitions >= 0),
    path             text,                       -- below the lake's folder; forward slashes
    content_hash     text CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    companion_of     text REFERENCES lake.snapshot (key), -- a quarantine snapshot follows the one it was made with
    run_id           text,
    planned_at       timestamptz NOT NULL DEFAULT now(),
    committed_at     timestamptz,
    state_at         timestamptz NOT NULL DEFAULT now(),
    files_removed_at timestamptz,
    UNIQUE (key, dataset),
    CONSTRAINT committed_is_complete CHECK (
        state = 'building'
        OR (rows IS NOT NULL AND bytes IS NOT NULL AND partitions IS NOT NULL AND path IS NOT NULL
            AND content_hash IS NOT NULL AND committed_at IS NOT NULL)
    ),
    CONSTRAINT only_old_files_are_removed CHECK (files_removed_at IS NULL OR state IN ('retired', 'rejected'))
);
CREATE UNIQUE INDEX one_current_snapshot ON lake.snapshot (dataset) WHERE state = 'current';
CREATE INDEX snapshot_dataset ON lake.snapshot (dataset, committed_at DESC);
CREATE INDEX snapshot_companion ON lake.snapshot (companion_of) WHERE companion_of IS NOT NULL;

-- One file's content, by the key of what it was made from. It may lie in many snapshots (hard links).
CREATE TABLE lake.partition (
    key         text PRIMARY KEY CHECK (key ~ '^[0-9a-f]{64}$'),
    dataset     text NOT NULL REFERENCES lake.dataset (name),
    rows        bigint NOT NULL CHECK (rows >= 0),
    bytes       bigint NOT NULL CHECK (bytes >= 0),
    file_sha256 text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
    accounting  jsonb,
    made_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lake.snapshot_partition (
    snapshot      text NOT NULL REFERENCES lake.snapshot (key),
    name          text NOT NULL,                 -- Norder=K/Npix=N, bucket=NNN, or a raw batch's id
    partition_key text NOT NULL REFERENCES lake.partition (key),
    file          text,                          -- below the snapshot's folder; null when the partition has no rows
    PRIMARY KEY (snapshot, name)
);
CREATE INDEX snapshot_partition_key ON lake.snapshot_partition (partition_key);

-- Row accounting of a snapshot; what does not add up cannot be stored.
CREATE TABLE lake.accounting (
    snapshot    text PRIMARY KEY REFERENCES lake.snapshot (key),
    step        text NOT NULL,
    rows_in     bigint NOT NULL CHECK (rows_in >= 0),
    rows_out    bigint NOT NULL CHECK (rows_out >= 0),
    merged      bigint NOT NULL DEFAULT 0 CHECK (merged >= 0),
    filtered    bigint NOT NULL DEFAULT 0 CHECK (filtered >= 0),
    filtered_by jsonb NOT NULL DEFAULT '{}',     -- rule -> rows
    quarantined bigint NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    CONSTRAINT every_row_is_accounted_for CHECK (rows_in = rows_out + merged + filtered + quarantined)
);

-- Ids that changed because a better survey joined the object.
CREATE TABLE lake.object_alias (
    old_id      text NOT NULL,
    new_id      text NOT NULL CHECK (new_id <> old_id),
    snapshot    text NOT NULL REFERENCES lake.snapshot (key),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (old_id, new_id)
);
CREATE INDEX object_alias_new ON lake.object_alias (new_id);

CREATE TABLE lake.promotion (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset       text NOT NULL REFERENCES lake.dataset (name),
    from_snapshot text,
    to_snapshot   text NOT NULL,
    who           text NOT NULL CHECK (who <> ''),
    reason        text NOT NULL CHECK (reason <> ''),
    promoted_at   timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (from_snapshot, dataset) REFERENCES lake.snapshot (key, dataset),
    FOREIGN KEY (to_snapshot, dataset) REFERENCES lake.snapshot (key, dataset)
);
CREATE INDEX promotion_dataset ON lake.promotion (dataset, id DESC);

-- Gates: one row per run of a snapshot's suite; the newest one counts.
CREATE TABLE quality.gate (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    snapshot     text NOT NULL REFERENCES lake.snapshot (key),
    suite_hash   text,
    passed       boolean NOT NULL,
    rows_checked bigint,
    data_docs    text,
    evidence     jsonb NOT NULL DEFAULT '{}',
    run_id       text,
    checked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gate_snapshot ON quality.gate (snapshot, id DESC);

CREATE TABLE quality.expectation (
    gate         bigint NOT NULL REFERENCES quality.gate (id),
    number       integer NOT NULL,
    expectation  text NOT NULL,
    column_name  text,
    passed       boolean NOT NULL,
    failing      bigint,
    observed     jsonb,
    kwargs       jsonb NOT NULL DEFAULT '{}',
    failing_rows jsonb NOT NULL DEFAULT '[]',    -- a sample, as shown by `stellar gates`
    PRIMARY KEY (gate, number)
);

-- History is written once.
CREATE FUNCTION lake.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lake.promotion
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON lake.promotion
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON quality.gate
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON quality.gate
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON quality.expectation
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON quality.expectation
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();

-- A snapshot's life. What it is made of never changes after its commit; it becomes current only through a passed gate.
CREATE FUNCTION lake.check_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    verdict boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'building' THEN
            RAISE EXCEPTION 'snapshot % of % is committed and cannot be deleted', OLD.key, OLD.dataset
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('building', 'candidate') THEN
            RAISE EXCEPTION 'a snapshot starts as building or candidate, not as %', NEW.state
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.key <> OLD.key OR NEW.dataset <> OLD.dataset OR NEW.step <> OLD.step
       OR NEW.step_version <> OLD.step_version OR NEW.params <> OLD.params THEN
        RAISE EXCEPTION 'snapshot %: its identity cannot change', OLD.key USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.content_hash IS NOT NULL AND NEW.content_hash IS DISTINCT FROM OLD.content_hash THEN
        RAISE EXCEPTION 'snapshot %: made again from the same inputs it has other content, so step % v% is not a pure '
                        'function of its inputs', OLD.key, OLD.step, OLD.step_version USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state <> 'building' AND NEW.state <> 'building'
       AND (NEW.rows, NEW.bytes, NEW.path) IS DISTINCT FROM (OLD.rows, OLD.bytes, OLD.path) THEN
        RAISE EXCEPTION 'snapshot %: committed, so its rows, bytes and path cannot change', OLD.key
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT ((OLD.state = 'building' AND NEW.state = 'candidate')
             OR (OLD.state = 'candidate' AND NEW.state IN ('current', 'rejected', 'retired'))
             OR (OLD.state = 'current' AND NEW.state = 'retired')
             OR (OLD.state = 'retired' AND NEW.state = 'current' AND OLD.files_removed_at IS NULL)
             OR (OLD.state = 'rejected' AND NEW.state = 'candidate' AND OLD.files_removed_at IS NULL)
             -- files were removed to save space; the same key is being made again
             OR (OLD.state IN ('retired', 'rejected') AND NEW.state = 'building'
                 AND OLD.files_removed_at IS NOT NULL AND NEW.files_removed_at IS NULL)) THEN
            RAISE EXCEPTION 'snapshot % of %: % -> % is not a step of its life%', OLD.key, OLD.dataset, OLD.state,
                NEW.state, CASE WHEN OLD.files_removed_at IS NOT NULL THEN ' (its files were removed)' ELSE '' END
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.state = 'current' THEN
            SELECT passed INTO verdict FROM quality.gate WHERE snapshot = NEW.key ORDER BY id DESC LIMIT 1;
            IF verdict IS DISTINCT FROM true THEN
                RAISE EXCEPTION 'snapshot % of % has not passed its gate, so it cannot become current', NEW.key,
                    NEW.dataset USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        NEW.state_at := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER life BEFORE INSERT OR UPDATE OR DELETE ON lake.snapshot
    FOR EACH ROW EXECUTE FUNCTION lake.check_snapshot();

-- At the end of the transaction a committed snapshot's parts must add up to it.
CREATE FUNCTION lake.check_commit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    number bigint;
    accounted bigint;
BEGIN
    IF NEW.state = 'building' OR (TG_OP = 'UPDATE' AND OLD.state <> 'building') THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(p.rows), 0), count(*) INTO total, number
      FROM lake.snapshot_partition sp JOIN lake.partition p ON p.key = sp.partition_key WHERE sp.snapshot = NEW.key;
    SELECT rows_out INTO accounted FROM lake.accounting WHERE snapshot = NEW.key;
    IF total <> NEW.rows OR number <> NEW.partitions OR accounted IS DISTINCT FROM NEW.rows THEN
        RAISE EXCEPTION 'snapshot % of %: it says % rows in % partitions, its partitions hold % rows in %, its accounting says % rows out',
            NEW.key, NEW.dataset, NEW.rows, NEW.partitions, total, number, accounted USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER adds_up AFTER INSERT OR UPDATE ON lake.snapshot
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lake.check_commit();

-- A current snapshot has been promoted: the newest promotion of its dataset names it.
CREATE FUNCTION lake.check_promoted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest text;
BEGIN
    IF NEW.state = 'current' AND EXISTS (SELECT FROM lake.snapshot WHERE key = NEW.key AND state = 'current') THEN
        SELECT to_snapshot INTO newest FROM lake.promotion WHERE dataset = NEW.dataset ORDER BY id DESC LIMIT 1;
        IF newest IS DISTINCT FROM NEW.key THEN
            RAISE EXCEPTION 'snapshot % of % became current without a promotion on record', NEW.key, NEW.dataset
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER promoted AFTER UPDATE ON lake.snapshot
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lake.check_promoted();

-- What is current, by dataset. A view, so it cannot contradict the snapshots.
CREATE VIEW lake.current AS
SELECT s.dataset, s.key AS snapshot, s.rows, s.bytes, s.path, s.content_hash, s.committed_at, s.state_at AS since
  FROM lake.snapshot s WHERE s.state = 'current';
