"""What runs: the supervisor, its processes, Airflow for one home, the run driver and the doctor."""
