"""Plan, build, account, gate and commit the steps that make snapshots (floor 4)."""
