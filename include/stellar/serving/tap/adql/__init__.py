"""ADQL 2.1 to DuckDB's SQL: the grammar of queryparser, and a translator of its trees that writes what it knows."""
