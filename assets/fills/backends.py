"""Where the trials of a search are replayed: in this process, in several, or on a Ray cluster.

One seam, three backends, equal results: a trial is the sum over its sessions of replays that know nothing of
each other, so it does not matter where each of them runs. A piece of work is one session with a batch of settings, all of
them one after another in the same memory, on what is told of the session once for all of them (`stretches.py`).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, Final

import numpy as np

from assets.fills.errors import FillsError
from assets.fills.journal import Replays
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, Replayer, Session

Sessions = Sequence[tuple[Session, np.ndarray]]
"""The sessions of a search, each with its rules."""

BACKENDS: Final = ("serial", "processes", "ray")


@contextmanager
def open_backend(name: str, sessions: Sessions, workers: int) -> Iterator[Replays]:
    """The replays of one search on the backend of that name, until the context ends.

    Args:
        name: one of BACKENDS. `ray` joins the cluster that RAY_ADDRESS names, or starts one on this machine.
        sessions: shipped to the workers once, not with each batch.
        workers: processes, where the backend is `processes`.

    Raises:
        FillsError: there is no such backend, or it is not installed.
    """
    if name == "serial":
        yield lambda policies: _by_policy([_replay(policies, session) for session in sessions])
    elif name == "processes":
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_keep, initargs=(sessions,)) as pool:
            yield lambda policies: _by_policy(list(pool.map(partial(_replay_kept, policies), range(len(sessions)))))
    elif name == "ray":
        with _ray_cluster() as ray:
            replay = ray.remote(max_retries=5)(_replay)  # a worker that is killed costs its replays, which are made again elsewhere
            shared = [ray.put(session) for session in sessions]
            yield lambda policies: _by_policy(ray.get([replay.remote(policies, session) for session in shared]))
    else:
        raise FillsError(f"unknown tuning_backend {name!r}: use one of {', '.join(BACKENDS)}")


def _by_policy(by_session: list[list[Outcome]]) -> list[list[Outcome]]:
    return [list(outcomes) for outcomes in zip(*by_session, strict=True)]


_kept: list[tuple[Session, np.ndarray]] = []
"""In a worker process: the sessions of its search."""


def _keep(sessions: Sessions) -> None:
    _kept[:] = sessions


def _replay_kept(policies: Sequence[Policy], number: int) -> list[Outcome]:
    return _replay(policies, _kept[number])


def _replay(policies: Sequence[Policy], session: tuple[Session, np.ndarray]) -> list[Outcome]:
    return [_replayer().run(session[0], policy, session[1]) for policy in policies]


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
