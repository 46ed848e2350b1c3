-- What a snapshot consists of and came from is written once, at its commit, and read ever after: nobody changes it.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lake.partition
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lake.snapshot_partition
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lake.accounting
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lineage.edge
    FOR EACH ROW EXECUTE FUNCTION lake.refuse_change();
