-- What was asked of the surveys and what they answered.

CREATE SCHEMA ingest;

CREATE TABLE ingest.batch (
    batch_id        text PRIMARY KEY CHECK (batch_id ~ '^[0-9a-f]{64}$'),
    survey          text NOT NULL,
    dataset         text NOT NULL REFERENCES lake.dataset (name),
    release         text NOT NULL,
    unit            text NOT NULL,
    sign            text NOT NULL,
    service         text NOT NULL,
    query           text NOT NULL,
    params          jsonb NOT NULL DEFAULT '{}',
    fetched_at      timestamptz NOT NULL DEFAULT now(),
    response_sha256 text NOT NULL,
    row_count       bigint NOT NULL CHECK (row_count >= 0),
    quarantined     bigint NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    path            text NOT NULL,               -- below the lake's folder
    bytes           bigint NOT NULL CHECK (bytes >= 0),
    file_sha256     text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
    superseded_by   text REFERENCES ingest.batch (batch_id) DEFERRABLE INITIALLY DEFERRED,
    superseded_at   timestamptz,
    run_id          text,
    CHECK (superseded_by <> batch_id),
    CHECK ((superseded_by IS NULL) = (superseded_at IS NULL))
);
CREATE UNIQUE INDEX one_active_batch ON ingest.batch (survey, dataset, release, unit) WHERE superseded_by IS NULL;
CREATE INDEX batch_dataset ON ingest.batch (dataset, fetched_at);

CREATE TABLE ingest.work_unit (
    survey        text NOT NULL,
    dataset       text NOT NULL REFERENCES lake.dataset (name),
    release       text NOT NULL,
    unit          text NOT NULL,
    sign          text NOT NULL,
    params        jsonb NOT NULL DEFAULT '{}',
    expected_rows bigint CHECK (expected_rows >= 0),
    state         text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'done', 'failed')),
    attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    error         text,
    batch_id      text REFERENCES ingest.batch (batch_id),
    planned_at    timestamptz NOT NULL DEFAULT now(),
    state_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (survey, dataset, release, unit),
    CHECK (state <> 'done' OR batch_id IS NOT NULL),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
CREATE INDEX work_unit_open ON ingest.work_unit (survey, dataset) WHERE state <> 'done';
CREATE INDEX work_unit_batch ON ingest.work_unit (batch_id);

-- Where a survey's next look starts, where it has such a thing (an update date, the newest MJD).
CREATE TABLE ingest.cursor (
    survey     text NOT NULL,
    name       text NOT NULL,
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (survey, name)
);

-- A batch's content never changes; only its being superseded does.
CREATE FUNCTION ingest.check_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'raw batches are append-only: DELETE refused' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.batch_id, NEW.survey, NEW.dataset, NEW.release, NEW.unit, NEW.row_count, NEW.file_sha256, NEW.path)
       IS DISTINCT FROM
       (OLD.batch_id, OLD.survey, OLD.dataset, OLD.release, OLD.unit, OLD.row_count, OLD.file_sha256, OLD.path) THEN
        RAISE EXCEPTION 'raw batches are append-only: batch % cannot change', OLD.batch_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ingest.batch
    FOR EACH ROW EXECUTE FUNCTION ingest.check_batch();
