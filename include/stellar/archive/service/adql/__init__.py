"""ADQL (and the T-SQL that SkyServer takes) to DuckDB: a closed grammar over whitelisted tables and columns."""
