-- Rows of neighbouring cells that lie within a margin of a partition, kept with the snapshot.

CREATE TABLE lake.margin (
    snapshot    text NOT NULL REFERENCES lake.snapshot (key),
    name        text NOT NULL,                   -- of the partition: Norder=K/Npix=N
    key         text NOT NULL CHECK (key ~ '^[0-9a-f]{64}$'),
    file        text,                            -- below the snapshot's folder; null when the margin has no rows
    rows        bigint NOT NULL CHECK (rows >= 0),
    bytes       bigint NOT NULL CHECK (bytes >= 0),
    file_sha256 text NOT NULL CHECK (file_sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (snapshot, name)
);
CREATE INDEX margin_key ON lake.margin (key);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lake.margin
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();

ALTER TABLE lake.snapshot ADD COLUMN margin_arcsec double precision NOT NULL DEFAULT 0 CHECK (margin_arcsec >= 0);

