"""Wherever a trial is replayed, it comes to the same."""

import datetime as dt
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from assets.desk import Trading
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import make_rules, make_session
from assets.fills.tune import search

BUY, SELL = 1, -1
POLICIES = [Policy(), Policy(threshold=0.1), Policy(level_weight=0.3)]


@pytest.fixture(scope="module")
def sessions(hand):
    """Three markets that trade back and forth, each with the signal that knows a little more of it."""
    made = []
    for skill in (0.5, 1.0, 3.0):
        stream = hand.quiet_market(ask=101, size=2)
        steps = []
        for k in range(40):
            steps.append((1_000 + 1_000 * k, skill if k % 2 else -skill))
            stream.trade(1_500 + 1_000 * k, SELL, 100, unseen=5).trade(1_600 + 1_000 * k, BUY, 101, unseen=5)
        made.append(make_session(stream.tape(), *hand.signal_of(*steps), hand.hours))
    return made


@pytest.fixture(scope="module")
def ruled(hand, sessions):
    trading = Trading(daily_loss_limit=10_000)
    return [(session, make_rules(hand.market, trading, session)) for session in sessions]


@pytest.fixture(scope="module")
def serial(ruled):
    with open_backend("serial", ruled, 1) as replay:
        outcomes = replay(POLICIES)
    assert any(outcome.contracts for trial in outcomes for outcome in trial)
    return outcomes


@pytest.fixture
def cluster():
    """Ray on two nodes of one machine."""
    pytest.importorskip("ray", reason="an extra: pip install '.[cluster]'")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def test_processes_come_to_what_one_process_comes_to(ruled, serial):
    with open_backend("processes", ruled, 2) as replay:
        assert replay(POLICIES) == serial


def test_a_search_has_the_same_trials_on_any_backend(ruled):
    trials = []
    for name, workers in (("serial", 1), ("processes", 1), ("processes", 2)):
        with open_backend(name, ruled, workers) as replays:
            trials.append(search(replays, [dt.date(2026, 9, day) for day in (16, 17, 18)], Trading(tuning_trials=11)).trials())
    assert trials[0].equals(trials[1])
    assert trials[0].equals(trials[2])


def test_an_unknown_backend_is_told(ruled):
    with (
        pytest.raises(FillsError, match="unknown tuning_backend 'abacus': use one of serial, processes, ray"),
        open_backend("abacus", ruled, 1),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_two_nodes_of_ray_come_to_the_same(cluster, ruled, serial):
    with open_backend("ray", ruled, 1) as replay:
        assert replay(POLICIES) == serial


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_at_work_costs_no_trial(cluster, hand, ruled):
    many = [Policy(threshold=0.001 * k) for k in range(3_000)]
    with open_backend("serial", ruled, 1) as replay:
        expected = replay(many)
    with open_backend("ray", ruled, 1) as replay, ThreadPoolExecutor(1) as thread:
        coming = thread.submit(replay, many)
        killed = None
        while killed is None and not coming.done():
            killed = next(at_work(), None)
        assert killed is not None, "the search was over before a worker could be found at work"
        os.kill(killed, signal.SIGKILL)
        assert coming.result() == expected


def at_work():
    """Processes of the cluster that this test started, while they replay: Ray writes the task's name over the command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"ray::_replay" in (entry / "cmdline").read_bytes() and os.getpid() in ancestors(int(entry.name)):
                yield int(entry.name)


def ancestors(pid):
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


@pytest.mark.filterwarnings("ignore")
def test_a_worker_and_a_node_that_die_cost_no_trial(cluster, ruled, serial):
    import ray

    with open_backend("ray", ruled, 1) as replay:
        made = replay(POLICIES[:1])
        whoami = ray.remote(lambda: os.getpid())  # noqa: PLW0108  # Ray refuses a builtin
        for pid in set(ray.get([whoami.remote() for _ in range(4)])):
            os.kill(pid, signal.SIGKILL)
        made += replay(POLICIES[1:2])
        cluster.remove_node(cluster.list_all_nodes()[-1])
        made += replay(POLICIES[2:])
    assert made == serial
