"""What exists, where it came from and what is current: Postgres, by SQLAlchemy Core (floor 2)."""
