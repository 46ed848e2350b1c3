"""Trials of a search for hyper-parameters: Optuna's, kept in the ledger's database, so that a killed search goes on.

What a trial tries follows from the seed, the number of trials that were finished before it, and their results. So a
search that was stopped anywhere tries the same as one that was not, and the trial that it was stopped in is made again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.ledger.connect import ledger_url
from stellar.training.sections import Parameter, Search

if TYPE_CHECKING:
    import optuna

    from stellar.engine.context import Context

HIGHER_IS_BETTER = ("accuracy", "macro_f1")
SCHEMA = "optuna"
Judge = Callable[[dict[str, Any]], float]


@dataclass(frozen=True)
class Trial:
    """One set of values and how well it did."""

    number: int
    params: dict[str, Any]
    value: float


@dataclass(frozen=True)
class Chosen:
    """Outcome of a search: the best trial's values, and all trials in their order."""

    metric: str
    params: dict[str, Any]
    value: float
    trials: tuple[Trial, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "trials": [asdict(one) for one in self.trials]}


@dataclass(frozen=True)
class TrialStore:
    """Where the trials of searches are kept.

    Attributes
    ----------
    ctx : Context or None
        In the ledger's database; in memory where there is none.
    key : str
        Of the version that is searched for: its trials belong to it alone.
    """

    ctx: Context | None = None
    key: str = ""

    def search(self, about: Search, label: str, judge: Judge) -> Chosen:
        """Make the trials that are missing; the best of all, the earliest where several are.

        Parameters
        ----------
        about : Search
        label : str
            Tells the searches of one version apart: the examples that this one learns from.
        judge : callable
            The metric of a model with these values.

        Raises
        ------
        InputError
            When a trial's metric is no number; names its values.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        name = f"{self.key} {label}"
        direction = "maximize" if about.metric in HIGHER_IS_BETTER else "minimize"
        with self._alone("tables of Optuna"):  # it makes them, and two at once would both
            storage = self._storage()
        with self._alone(name):
            study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
            running = optuna.trial.TrialState.RUNNING
            for stopped in study.get_trials(
                deepcopy=False, states=[running]
            ):  # whoever made it is gone: this is locked
                study.tell(stopped.number, state=optuna.trial.TrialState.FAIL)
            while (done := len(_finished(study))) < about.trials:
                self._try(study, about, label, done, judge)
            finished = _finished(study)[: about.trials]
        if isinstance(storage, optuna.storages.RDBStorage):
            storage.engine.dispose()
        trials = tuple(Trial(k + 1, dict(one.params), float(one.value)) for k, one in enumerate(finished))
        sign = -1 if direction == "maximize" else 1
        best = min(trials, key=lambda one: (sign * one.value, one.number))
        return Chosen(about.metric, best.params, best.value, trials)

    def _try(self, study: optuna.Study, about: Search, label: str, done: int, judge: Judge) -> None:
        """One trial. Its sampler has a seed of its own: the state of a sampler would be lost with the process."""
        import optuna

        seed = int.from_bytes(sha256(f"{about.seed}:{label}:{done}".encode()).digest()[:4], "big")
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = study.ask()
        params = {name: _suggested(trial, name, one) for name, one in about.space.items()}
        value = judge(params)
        if not math.isfinite(value):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise InputError(f"search: {about.metric} of {params} is {value}; narrow `space`")
        study.tell(trial, value)

    def _storage(self) -> optuna.storages.BaseStorage:
        import optuna

        if self.ctx is None:
            return optuna.storages.InMemoryStorage()
        # as the owner, since Optuna makes its tables itself
        url = ledger_url(self.ctx.settings, "owner").update_query_dict({"options": f"-csearch_path={SCHEMA}"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False), engine_kwargs={"pool_size": 1, "pool_pre_ping": True}
            )

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Two that search for one version take turns; the lock goes with the connection of whoever is killed."""
        with nullcontext() if self.ctx is None else self.ctx.engine.connect() as connection:
            if connection is None:
                yield
                return
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text("SELECT pg_advisory_lock(hashtextextended(:name, 8))"), {"name": name})
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 8))"), {"name": name})


def _finished(study: optuna.Study) -> list[Any]:
    import optuna

    done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    return sorted(done, key=lambda one: one.number)


def _suggested(trial: optuna.Trial, name: str, one: Parameter) -> Any:
    if one.choices is not None:
        return trial.suggest_categorical(name, one.choices)
    assert one.low is not None
    assert one.high is not None
    if one.int:
        return trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(name, one.low, one.high, log=one.log)
