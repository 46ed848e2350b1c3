-- Roles: the owner makes tables, the pipeline writes rows, the reader selects. On an external server whose user may
-- not create roles, everything runs as that user.

DO $$
DECLARE
    role text;
    part text;
BEGIN
    FOREACH role IN ARRAY ARRAY['stellar_pipeline', 'stellar_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
                EXECUTE format('GRANT %I TO CURRENT_USER', role);
            EXCEPTION WHEN insufficient_privilege OR duplicate_object THEN
                RAISE NOTICE 'role % is not created: %', role, SQLERRM;
            END;
        END IF;
    END LOOP;
    FOREACH part IN ARRAY ARRAY['lake', 'ingest', 'quality', 'registry', 'lineage', 'ledger'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stellar_reader') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO stellar_reader', part);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO stellar_reader', part);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO stellar_reader', part);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stellar_pipeline') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO stellar_pipeline', part);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO stellar_pipeline', part);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO stellar_pipeline', part);
            IF part <> 'ledger' THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO stellar_pipeline', part);
                EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO stellar_pipeline', part);
                EXECUTE format(
                    'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT INSERT, UPDATE, DELETE ON TABLES TO stellar_pipeline', part);
                EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE ON SEQUENCES TO stellar_pipeline', part);
            END IF;
        END IF;
    END LOOP;
END $$;
