-- Models, their versions, metrics, aliases and promotions. A version lives like a snapshot.

CREATE SCHEMA registry;

CREATE TABLE registry.model (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]*$'), -- the config's file name
    family      text NOT NULL,
    target      text NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE registry.version (
    key             text PRIMARY KEY CHECK (key ~ '^[0-9a-f]{64}$'),
    model           text NOT NULL REFERENCES registry.model (name),
    number          integer NOT NULL CHECK (number > 0), -- 1, 2, 3 ... within the model, for people
    state           text NOT NULL DEFAULT 'candidate' CHECK (state IN ('candidate', 'current', 'retired', 'rejected')),
    state_reason    text,
    architecture    text NOT NULL,
    config          jsonb NOT NULL,
    code_version    text NOT NULL,
    seed            bigint NOT NULL,
    frame_hash      text NOT NULL,               -- content of the training frame
    artifact_sha256 text NOT NULL CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$'),
    artifact_path   text NOT NULL,               -- below the artifacts' folder
    artifact_files  jsonb NOT NULL DEFAULT '{}', -- file -> SHA-256, checked at load
    training_rows   bigint,
    training_s      double precision,
    run_id          text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    state_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model, number),
    UNIQUE (key, model)
);
CREATE UNIQUE INDEX one_current_version ON registry.version (model) WHERE state = 'current';
CREATE INDEX version_model ON registry.version (model, created_at DESC);

-- Long form: one row per metric, split and slice ('all' for the whole split; 'class=K', 'magnitude=[14,16)' ...).
CREATE TABLE registry.metric (
    version text NOT NULL REFERENCES registry.version (key),
    name    text NOT NULL,
    split   text NOT NULL,
    slice   text NOT NULL DEFAULT 'all',
    value   double precision NOT NULL,
    lower   double precision,
    upper   double precision,
    n       bigint,
    PRIMARY KEY (version, name, split, slice)
);

CREATE TABLE registry.alias (
    model   text NOT NULL REFERENCES registry.model (name),
    alias   text NOT NULL CHECK (alias <> ''),
    version text NOT NULL,
    set_at  timestamptz NOT NULL DEFAULT now(),
    set_by  text NOT NULL DEFAULT current_user,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (version, model) REFERENCES registry.version (key, model)
);
CREATE INDEX alias_version ON registry.alias (version);

CREATE TABLE registry.promotion (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model        text NOT NULL REFERENCES registry.model (name),
    alias        text NOT NULL DEFAULT 'current',
    from_version text,
    to_version   text NOT NULL,
    who          text NOT NULL CHECK (who <> ''),
    reason       text NOT NULL CHECK (reason <> ''),
    evidence     jsonb NOT NULL DEFAULT '{}',
    promoted_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (from_version, model) REFERENCES registry.version (key, model),
    FOREIGN KEY (to_version, model) REFERENCES registry.version (key, model)
);
CREATE INDEX promotion_model ON registry.promotion (model, id DESC);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON registry.promotion
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON registry.promotion
    FOR EACH STATEMENT EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON registry.metric
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();

CREATE FUNCTION registry.check_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'version % of model % cannot be deleted', OLD.key, OLD.model USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'candidate' THEN
            RAISE EXCEPTION 'a model version starts as candidate, not as %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.key, NEW.model, NEW.number, NEW.architecture, NEW.config, NEW.code_version, NEW.seed, NEW.frame_hash, NEW.artifact_sha256)
       IS DISTINCT FROM
       (OLD.key, OLD.model, OLD.number, OLD.architecture, OLD.config, OLD.code_version, OLD.seed, OLD.frame_hash, OLD.artifact_sha256) THEN
        RAISE EXCEPTION 'version % of model %: what it was made from and of cannot change', OLD.key, OLD.model
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state THEN
        -- rejected -> current: a person may promote over the policy, with a reason on record
        IF NOT ((OLD.state = 'candidate' AND NEW.state IN ('current', 'rejected', 'retired'))
             OR (OLD.state = 'current' AND NEW.state = 'retired')
             OR (OLD.state = 'retired' AND NEW.state = 'current')
             OR (OLD.state = 'rejected' AND NEW.state IN ('candidate', 'current'))) THEN
            RAISE EXCEPTION 'version % of model %: % -> % is not a step of its life', OLD.key, OLD.model, OLD.state,
                NEW.state USING ERRCODE = 'check_violation';
        END IF;
        NEW.state_at := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER life BEFORE INSERT OR UPDATE OR DELETE ON registry.version
    FOR EACH ROW EXECUTE FUNCTION registry.check_version();

-- At the end of a transaction the current version, the alias `current` and the newest promotion say the same.
CREATE FUNCTION registry.check_current() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    name text;
    by_state text;
    by_alias text;
    by_promotion text;
BEGIN
    IF TG_OP = 'DELETE' THEN name := OLD.model; ELSE name := NEW.model; END IF;
    SELECT key INTO by_state FROM registry.version WHERE model = name AND state = 'current';
    SELECT version INTO by_alias FROM registry.alias WHERE model = name AND alias = 'current';
    SELECT to_version INTO by_promotion FROM registry.promotion
     WHERE model = name AND alias = 'current' ORDER BY id DESC LIMIT 1;
    IF by_state IS DISTINCT FROM by_alias OR by_state IS DISTINCT FROM by_promotion THEN
        RAISE EXCEPTION 'model %: current version is % by its state, % by its alias and % by its newest promotion', name,
            coalesce(by_state, 'none'), coalesce(by_alias, 'none'), coalesce(by_promotion, 'none')
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER agrees AFTER UPDATE ON registry.version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION registry.check_current();
CREATE CONSTRAINT TRIGGER agrees AFTER INSERT OR UPDATE OR DELETE ON registry.alias
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION registry.check_current();
CREATE CONSTRAINT TRIGGER agrees AFTER INSERT ON registry.promotion
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION registry.check_current();
