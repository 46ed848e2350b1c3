-- Who came from whom: child <- parent, between snapshots, model versions and raw batches.

CREATE SCHEMA lineage;

CREATE TABLE lineage.edge (
    child       text NOT NULL,
    child_kind  text NOT NULL CHECK (child_kind IN ('snapshot', 'version')),
    parent      text NOT NULL,
    parent_kind text NOT NULL CHECK (parent_kind IN ('snapshot', 'version', 'batch')),
    role        text NOT NULL,
    PRIMARY KEY (child, parent, role),
    CHECK (child <> parent)
);
CREATE INDEX edge_parent ON lineage.edge (parent);

CREATE TABLE lineage.run (
    run_id     text PRIMARY KEY,
    kind       text NOT NULL,                    -- dag, command, test
    name       text NOT NULL DEFAULT '',
    who        text NOT NULL DEFAULT '',
    host       text NOT NULL DEFAULT '',
    params     jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    state      text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
    error      text
);

-- Both ends of an edge exist.
CREATE FUNCTION lineage.check_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (CASE NEW.child_kind WHEN 'snapshot' THEN EXISTS (SELECT FROM lake.snapshot WHERE key = NEW.child)
                                ELSE EXISTS (SELECT FROM registry.version WHERE key = NEW.child) END) THEN
        RAISE EXCEPTION 'lineage: no % %', NEW.child_kind, NEW.child USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF NOT (CASE NEW.parent_kind WHEN 'snapshot' THEN EXISTS (SELECT FROM lake.snapshot WHERE key = NEW.parent)
                                 WHEN 'version' THEN EXISTS (SELECT FROM registry.version WHERE key = NEW.parent)
                                 ELSE EXISTS (SELECT FROM ingest.batch WHERE batch_id = NEW.parent) END) THEN
        RAISE EXCEPTION 'lineage: no % %', NEW.parent_kind, NEW.parent USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER both_ends BEFORE INSERT OR UPDATE ON lineage.edge
    FOR EACH ROW EXECUTE FUNCTION lineage.check_edge();

-- Walks from one node; UNION drops repeats, so a diamond is walked once.
CREATE FUNCTION lineage.walk_up(root text)
RETURNS TABLE (child text, child_kind text, parent text, parent_kind text, role text) LANGUAGE sql STABLE AS $$
    WITH RECURSIVE walk AS (
        SELECT e.* FROM lineage.edge e WHERE e.child = root
        UNION
        SELECT e.* FROM walk w JOIN lineage.edge e ON e.child = w.parent
    )
    SELECT child, child_kind, parent, parent_kind, role FROM walk
$$;
CREATE FUNCTION lineage.walk_down(root text)
RETURNS TABLE (child text, child_kind text, parent text, parent_kind text, role text) LANGUAGE sql STABLE AS $$
    WITH RECURSIVE walk AS (
        SELECT e.* FROM lineage.edge e WHERE e.parent = root
        UNION
        SELECT e.* FROM walk w JOIN lineage.edge e ON e.parent = w.child
    )
    SELECT child, child_kind, parent, parent_kind, role FROM walk
$$;

-- The same as views, for joins: every (root, ancestor) and every (root, descendant).
CREATE VIEW lineage.upstream AS
WITH RECURSIVE walk (root, root_kind, ancestor, ancestor_kind) AS (
    SELECT child, child_kind, parent, parent_kind FROM lineage.edge
    UNION
    SELECT w.root, w.root_kind, e.parent, e.parent_kind FROM walk w JOIN lineage.edge e ON e.child = w.ancestor
)
SELECT * FROM walk;
CREATE VIEW lineage.downstream AS
SELECT ancestor AS root, ancestor_kind AS root_kind, root AS descendant, root_kind AS descendant_kind FROM lineage.upstream;
