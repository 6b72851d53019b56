"""Where the trials of a search are replayed: in this process, in several, or on a Ray cluster.

One seam, three backends, equal results: a trial is the sum over its sessions of replays that know nothing of
each other, so it does not matter where each of them runs. The search itself stays one suggestion after another, and
the sessions of a trial are what is spread.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, Final

import numpy as np

from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, Replayer, Session

Sessions = Sequence[tuple[Session, np.ndarray]]
"""The sessions of a search, each with its rules."""

Trial = Callable[[Policy], list[Outcome]]
"""Replays a policy on every session of a search, in their order."""

BACKENDS: Final = ("serial", "processes", "ray")


@contextmanager
def open_backend(name: str, sessions: Sessions, workers: int) -> Iterator[Trial]:
    """The trials of one search on the backend of that name, until the context ends.

    Args:
        name: one of BACKENDS. `ray` joins the cluster that RAY_ADDRESS names, or starts one on this machine.
        sessions: shipped to the workers once, not with each trial.
        workers: processes, where the backend is `processes`.

    Raises:
        FillsError: there is no such backend, or it is not installed.
    """
    if name == "serial":
        yield _serial(sessions)
    elif name == "processes":
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_keep, initargs=(sessions,)) as pool:
            yield lambda policy: list(pool.map(partial(_replay_kept, policy), range(len(sessions))))
    elif name == "ray":
        with _ray_cluster() as ray:
            replay = ray.remote(max_retries=5)(_replay)  # a worker that is killed costs its replay, which is made again elsewhere
            shared = [ray.put(session) for session in sessions]
            yield lambda policy: ray.get([replay.remote(policy, session) for session in shared])
    else:
        raise FillsError(f"unknown tuning_backend {name!r}: use one of {', '.join(BACKENDS)}")


def _serial(sessions: Sessions) -> Trial:
    replayer = Replayer()
    return lambda policy: [replayer.run(session, policy, rules) for session, rules in sessions]


_kept: list[tuple[Session, np.ndarray]] = []
"""In a worker process: the sessions of its search."""


def _keep(sessions: Sessions) -> None:
    _kept[:] = sessions


def _replay_kept(policy: Policy, number: int) -> Outcome:
    return _replay(policy, _kept[number])


def _replay(policy: Policy, session: tuple[Session, np.ndarray]) -> Outcome:
    return _replayer().run(session[0], policy, session[1])


@cache
def _replayer() -> Replayer:
    """A worker's memory, kept from replay to replay."""
    return Replayer()


@contextmanager
def _ray_cluster() -> Iterator[Any]:
    try:
        import ray
    except ModuleNotFoundError:
        raise FillsError("tuning_backend = 'ray' needs Ray: pip install 'tickline[cluster]'") from None
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
