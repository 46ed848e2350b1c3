"""Pages of the platform: a FastAPI app that Airflow's API server mounts, and what the browser loads from it."""
