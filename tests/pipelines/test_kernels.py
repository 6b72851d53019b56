"""What a run compiles before its first session is what its sessions need."""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numba.core.dispatcher import Dispatcher

from assets.books.rebuild import applied, rebuild
from assets.calendar import Calendar
from assets.curves.lab.readings import read_session
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import load_desk
from assets.features.build import build
from assets.features.chosen import desk_indicators
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.fills.tape import make_tape
from assets.fills.truth.shadow import fidelity
from assets.ticks.dbn import read_records
from assets.ticks.source import open_source
from pipelines.kernels import HALVES, of_replay
from pipelines.try_file import try_file


def compiled() -> dict[str, int]:
    """Of each kernel for how many kinds of arguments it is ready in this process."""
    kernels = {
        f"{module}.{name}": len(held.signatures)
        for module, loaded in list(sys.modules.items())
        if module.startswith("assets.")
        for name, held in vars(loaded).items()
        if isinstance(held, Dispatcher)
    }
    assert len(kernels) > 50
    return kernels


def test_a_session_finds_all_its_kernels_compiled(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    desk = load_desk(make_desk(tmp_path))
    for half in HALVES:
        half(desk)
    before = compiled()
    assert before["assets.fills.inside.trade"] > 0

    calendar, source, chosen = Calendar(desk), open_source(desk), desk_indicators(desk)
    day = calendar.sessions()[0]
    window, market = calendar.window(desk.traded, day), desk.markets[desk.traded]
    raw = {name: read_records(source.fetch(name, day)) for name in desk.all_markets}
    books = {name: rebuild(records, open_ns=window.open_ns, close_ns=window.close_ns) for name, records in raw.items()}
    own, leaders = books[desk.traded], {name: (books[name].books, books[name].trades) for name in desk.leaders}
    features = build(
        own.books, own.trades, leaders, tick=market.tick, leader_ticks={name: desk.markets[name].tick for name in desk.leaders},
        horizon_ns=desk.horizon_ns, open_ns=window.open_ns, close_ns=window.close_ns, chosen=chosen,
    )  # fmt: skip
    sums = session_statistics(features, chosen, horizon_ns=desk.horizon_ns)
    moves = predict(fit([sums], chosen, horizon_ns=desk.horizon_ns, first_session=day, last_session=day), features)
    assert np.abs(moves).max() > 0
    assert read_session(features, chosen, desk=len(chosen), tick=market.tick) is not None
    records = applied(raw[desk.traded], own.quarantine)
    assert fidelity(make_tape(records, market), window).height > 0
    traded = simulate(
        records, features["ts_event"].to_numpy(), moves, market=market, trading=desk.trading, policy=Policy(threshold=0.0), window=window
    )
    assert traded.outcome.orders > 0
    assert compiled() == before


def compiled_late(file: Path, out: Path) -> set[str]:
    """Kernels of the replay that `tickline try` lacks after `of_replay`, in a process that has done nothing else."""
    of_replay()
    before = compiled()
    assert before["assets.fills.replay._run"] == 1
    try_file(file, None, out)
    return {name for name, kinds in compiled().items() if name.startswith("assets.fills.") and kinds != before[name]}


def test_what_is_compiled_beside_a_first_try_is_all_that_its_replay_needs(make_desk: Callable[..., Path], tmp_path: Path) -> None:
    desk = load_desk(make_desk(tmp_path))
    [file] = open_source(desk).fetch(desk.traded, Calendar(desk).sessions()[0])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(compiled_late, file, tmp_path).result() == set()
