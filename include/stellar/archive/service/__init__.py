"""The embedded archive's HTTP service: the simulated sky over the surveys' own protocols."""
