"""Where batches of work run: processes or threads here, or the workers of a Dask cluster (`STELLAR_ENGINE`).

Whatever runs here may run twice: a worker that dies is made good by doing its item again. So a function that is given
to `map_unordered` has to be harmless when repeated, as the engine's are: they stage files under the hash of their
content.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from stellar.errors import InputError, StellarError
from stellar.settings import Settings

if TYPE_CHECKING:
    import distributed

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3  # how often an item is given to workers that die of it
CONNECT_S = 10
WORKERS_S = 30
#: A worker with others of these would write other bytes than this machine: the writer's version is part of each key.
SAME_EVERYWHERE = ("stellar-platform", "pyarrow", "numpy", "pandas", "scipy", "astropy", "cdshealpix")

_one_at_a_time = threading.Lock()


def map_unordered(
    settings: Settings,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    threads: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Call a function on every item, many at once, in any order.

    Parameters
    ----------
    settings : Settings
        `engine` says where: `processes` (`workers` of them on this machine) or `dask`.
    function : callable
        Takes one item. A module-level function or a `functools.partial` of one; arguments and results are pickled.
        It may be called again for an item that was under way when its worker died.
    items : sequence
        For a Dask cluster, give what names the work, not the data: workers read the shared lake.
    threads : bool
        Whether the function lets go of the interpreter's lock for most of its time and may run in threads of one
        process. Functions that do not say so run one at a time in a process, on Dask workers of many threads too.
    progress : callable, optional
        Called as (items done, items), first with 0 done.

    Returns
    -------
    list
        Results in the order of `items`.

    Raises
    ------
    InputError
        When the Dask cluster is not named, not there, or of other versions than this machine.
    StellarError
        When workers keep dying. What the function raises is raised here; items that were not begun stay so.
    """
    total = len(items)
    tell = progress or (lambda done, total: None)
    tell(0, total)
    if not total:
        return []
    if settings.engine == "dask":
        finished = _in_dask(settings, function, items, threads)
    elif total == 1 or settings.workers == 1:
        finished = ((number, function(item)) for number, item in enumerate(items))
    elif threads:
        finished = _in_threads(settings.workers, function, items)
    else:
        finished = _in_processes(settings.workers, function, items)
    results: dict[int, Result] = {}
    for number, result in finished:
        results[number] = result
        tell(len(results), total)
    return [results[number] for number in range(total)]


def _in_threads(
    workers: int, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(min(workers, len(items)), "stellar") as pool:
        futures = {pool.submit(function, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_processes(
    workers: int, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """Items on joblib's processes; what a killed process leaves undone is given to new ones."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = dict(enumerate(items))
    for attempt in range(1, ATTEMPTS + 1):
        pool = Parallel(min(workers, len(left)), "loky", return_as="generator_unordered", batch_size=1, max_nbytes=None)
        jobs = (delayed(_numbered)(function, number, item) for number, item in [*left.items()])
        try:
            for number, result in pool(jobs):
                del left[number]
                yield number, result
        except TerminatedWorkerError as error:
            if attempt == ATTEMPTS:
                raise StellarError(
                    f"processes were killed {ATTEMPTS} times at the same work, perhaps for want of memory; close what "
                    "else runs here, or set STELLAR_WORKERS to a smaller number"
                ) from error
        if not left:
            return


def _numbered(function: Callable[[Item], Result], number: int, item: Item) -> tuple[int, Result]:
    return number, function(item)


def _in_dask(
    settings: Settings, function: Callable[[Item], Result], items: Sequence[Item], threads: bool
) -> Iterator[tuple[int, Result]]:
    """Items as tasks of a cluster. The scheduler gives those of a lost worker to another."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker, as_completed
    from distributed.comm import CommClosedError

    versions = _versions()
    with _cluster(settings) as client:
        name = uuid.uuid4().hex  # another call of the same function is other work, whatever the scheduler remembers
        futures = {
            client.submit(
                _on_worker,
                function,
                item,
                threads,
                versions,
                key=f"{_name(function)}-{name}-{number}",
                pure=False,
                retries=ATTEMPTS - 1,
            ): number
            for number, item in enumerate(items)
        }
        try:
            for future in as_completed(list(futures), loop=client.loop):
                result, error = future.result()
                if error is not None:
                    raise error
                yield futures[future], result
                future.release()  # the scheduler need not hold results that are here
        except KilledWorker as error:
            raise StellarError(
                f"Dask workers died again and again at the same work, perhaps for want of memory: {error}"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise StellarError(
                f"the Dask scheduler at {settings.dask_scheduler} went away; start it and run this again: what was "
                "built is kept"
            ) from error


@contextmanager
def _cluster(settings: Settings) -> Iterator[distributed.Client]:
    """Connection to the scheduler that the settings name, with at least one worker."""
    address = settings.dask_scheduler
    if not address:
        raise InputError(
            "STELLAR_ENGINE=dask needs STELLAR_DASK_SCHEDULER=tcp://HOST:PORT; start a cluster with "
            "`dask scheduler --host 127.0.0.1` and `dask worker tcp://127.0.0.1:8786`, or unset STELLAR_ENGINE"
        )
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False, name="stellar")
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"STELLAR_DASK_SCHEDULER={address}: no Dask scheduler answers there ({error}); start it, or name another"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            raise InputError(
                f"the Dask scheduler at {address} has no worker; start one with `dask worker {address} --nthreads 1`"
            ) from error
        yield client
    finally:
        client.close()


def _on_worker(
    function: Callable[[Item], Result], item: Item, threads: bool, versions: dict[str, str]
) -> tuple[Result | None, StellarError | None]:
    """In a worker of the cluster: the result, or what is wrong with the work, which trying again cannot mend."""
    try:
        _check_versions(versions)
        if threads:
            return function(item), None
        with _one_at_a_time:
            return function(item), None
    except StellarError as error:
        return None, error


def _check_versions(wanted: dict[str, str]) -> None:
    here = _versions()
    wrong = [f"{name} {here[name]} instead of {version}" for name, version in wanted.items() if here[name] != version]
    if wrong:
        import platform

        raise InputError(
            f"the Dask worker on {platform.node()} has {', '.join(wrong)}, so its files would be others; install the "
            "platform there from the same lock file"
        )


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in SAME_EVERYWHERE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _name(function: Callable[..., Any]) -> str:
    """What the cluster's dashboard shows."""
    return str(getattr(getattr(function, "func", function), "__name__", "work")).strip("_")
