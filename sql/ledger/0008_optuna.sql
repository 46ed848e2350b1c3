-- Trials of searches for hyper-parameters. Optuna makes its own tables here, as the owner, when a search is first run.

CREATE SCHEMA optuna;
