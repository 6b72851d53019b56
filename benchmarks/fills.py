"""`make bench-fills`: a session traded in simulation, beside hftbacktest and beside a loop that can do no less.

One session of the simulated exchange, as an aggregated feed shows it, and everything that is compared is measured in this one run:
least of several repeats, in one process, on memory that has been touched. The touch policy is hftbacktest's own kind (`peers_fills.py`),
with the same delay, the same limit, the same queue (risk-averse) and a decision at each event; so is the bare loop, which keeps nothing
but counts. A loop without delays, which does another task, stands beside it for what the rows alone cost. Whether the exchanges are the
same is a line of the table, not a belief: hftbacktest's own requests are sent into ours, and the fills compared. The fills of the two
policies differ by a few in a hundred: hftbacktest refuses to cancel an order of which it has not heard (docs/fidelity.md).
"""

import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from assets.books.codes import BID
from assets.desk import Trading
from assets.fills.backends import open_backend
from assets.fills.exchange import advance
from assets.fills.policy import TOUCH, Policy
from assets.fills.replay import Replayer, Session, make_rules, make_session
from assets.fills.rows import ADDED
from assets.fills.tape import Tape
from assets.fills.tape import aggregated as forgotten
from assets.fills.tune import RANGES
from assets.fills.wire import Memory, make_ladder
from assets.hours import Window
from benchmarks.peers_fills import CLOSE_NS, MARKET, OPEN_NS, Events, Played, aggregated, bare, instant, play, session_tape
from benchmarks.table import Line, close

RECORDS: Final = 2_000_000
"""A session this long outgrows the processor's caches, as a busy day does."""
REPEATS: Final = 5
SETTINGS_AT_ONCE: Final = 64
LIMIT: Final = 2
MILLION: Final = 1_000_000

PEER_TARGET, BARE_TARGET, FULL_TARGET, CORES_TARGET, MANY_TARGET, SAME_TARGET, MEMORY_TARGET = 4.0, 0.5, 5.0, 1.8, 20.0, 1.0, 0.9

TRADING: Final = Trading(latency_ms=20.0, max_position=LIMIT, queue="pessimist")
AT_TOUCH: Final = Policy(threshold=-1.0, prediction_weight=0.0, level_weight=0.0, ahead_weight=0.0, behind_weight=0.0, style=TOUCH)
"""Every score is above the threshold, so the touch is always quoted."""


def main() -> None:
    """Measure everything and close with the table."""
    tape = one_by_one(session_tape(RECORDS))
    events, session = aggregated(tape), _session(tape, zeros=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.pickle"  # other processes read the session, as making it takes longer than all replays of it
        path.write_bytes(pickle.dumps(tape))
        touch, peer = _touch(events, tape, session)
        close("fills", [*touch, *_scores(path), _many(path, peer), _memory(path)])


def one_by_one(tape: Tape) -> Tape:
    """The tape as an aggregated feed shows it, each row at a time of its own: a decision then sees the same rows on both sides."""
    rows = forgotten(tape).rows
    number = np.arange(len(rows))
    rows["ts"] = np.maximum.accumulate(rows["ts"] - number) + number
    return tape._replace(rows=rows)


def _session(tape: Tape, *, zeros: bool) -> Session:
    """A decision at each row; the prediction is the signed flow of the last 64 rows, or zero."""
    rows, signal = tape.rows, np.zeros(len(tape.rows))
    if not zeros:
        flow = np.where(rows["side"] == BID, 1.0, -1.0) * np.where(rows["kind"] == ADDED, 1.0, -1.0)
        signal = np.convolve(flow, np.full(64, 1 / 64), "full")[: len(rows)]
    return make_session(tape, rows["ts"], signal, Window(OPEN_NS, CLOSE_NS))


def _rules(session: Session) -> np.ndarray:
    """hftbacktest knows no close and no loss limit: neither may act here."""
    rules = make_rules(MARKET, TRADING, session, post_only=True)
    rules["flatten_ns"] = rules["allowed_until"] = rules["close_ns"]
    rules["loss_limit"] = rules["allowed_loss"] = 10**18
    return rules


def _touch(events: Events, tape: Tape, session: Session) -> tuple[list[Line], float]:
    """The lines, and the seconds of one run of hftbacktest."""
    replayer, rules = Replayer(), _rules(session)
    ours = _least(lambda: replayer.run(session, AT_TOUCH, rules))
    played = [play(events, tape.width, "ROI vector", delay_ns=TRADING.latency_ns, limit=LIMIT) for _ in range(1 + REPEATS)][1:]
    peer = min(run.seconds for run in played)
    loop = bare(events, tape.width, delay_ns=TRADING.latency_ns, limit=LIMIT)
    limit, least, done = _least(loop), _least(instant(events, tape.width)), loop()
    n = len(tape.rows)
    mine, theirs, resent = (
        _told(replayer.fills),
        {(int(ts), int(side), int(px)) for ts, side, px in played[-1].fills},
        _resent(played[-1], session),
    )
    return [
        Line("the touch policy, decision at each event, beside hftbacktest", _rate(n, ours), _rate(n, peer), peer / ours, PEER_TARGET),
        Line(
            "the same beside a bare replay loop: delays and limit, nothing kept", _rate(n, ours), _rate(n, limit), limit / ours, BARE_TARGET
        ),
        Line("the same beside a loop whose order moves with the touch at once", _rate(n, ours), _rate(n, least), least / ours),
        Line(
            "fills and requests, beside the bare replay loop's",
            f"{len(mine):,}, {len(replayer.requests):,}",
            f"{done.fills:,}, {done.requests:,}",
            min(len(mine), done.fills) / max(len(mine), done.fills),
        ),
        Line(
            "fills of hftbacktest's orders in our exchange, in both of all",
            f"{len(resent):,}",
            f"{len(theirs):,}",
            _same(resent, theirs),
            SAME_TARGET,
        ),
        Line("fills of each one's own orders, in both of all", f"{len(mine):,}", f"{len(theirs):,}", _same(mine, theirs)),
    ], peer


def _resent(played: Played, session: Session) -> set[tuple[int, int, int]]:
    """The fills of hftbacktest's requests, sent into our exchange when it sent them."""
    rules, tape, n = _rules(session), session.tape, len(played.sent)
    memory = Memory(n)
    requests = memory.requests
    requests["ts_request"], requests["kind"], _, requests["side"], requests["px"] = played.sent.T
    requests["ts_arrival"], requests["order"], requests["quantity"] = played.sent[:, 0] + TRADING.latency_ns, played.sent[:, 2] - 1, 1
    room = memory.room(make_ladder(tape.width), rules, AT_TOUCH.record, len(tape.rows))
    memory.ours["sent"] = n
    advance(tape.rows, 0, int(rules["close_ns"][0]) - 1, room)
    return _told(memory.filled)


def _told(fills: np.ndarray) -> set[tuple[int, int, int]]:
    """Time, side and price of FILL records."""
    return {(int(f["ts"]), int(f["side"]), int(f["px"])) for f in fills}


def _same(mine: set[tuple[int, int, int]], theirs: set[tuple[int, int, int]]) -> float:
    return len(mine & theirs) / max(len(mine | theirs), 1)


def _scores(path: Path) -> list[Line]:
    rows = len(_read(path).rows)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        alone = pool.submit(_replay_scores, path).result()
        together = max(pool.map(_replay_scores, [path, path]))
    return [
        Line(
            "ten levels scored at each event, prediction, one core",
            _rate(rows, alone),
            f"{FULL_TARGET:g} M/s stated",
            rows / alone / MILLION / FULL_TARGET,
            1.0,
        ),
        Line("the same, two sessions on two cores", _rate(2 * rows, together), _rate(rows, alone), 2 * alone / together, CORES_TARGET),
    ]


def _replay_scores(path: Path) -> float:
    """Seconds of one replay of the whole policy, in a process of the pool."""
    session, rules, replayer = _predicted(path)
    return _least(lambda: replayer.run(session, Policy(threshold=0.0, level_weight=0.2), rules))


def _read(path: Path) -> Tape:
    return Tape(*pickle.loads(path.read_bytes()))


def _many(path: Path, peer: float) -> Line:
    """64 settings as a search draws and replays them, a session on each of two cores, beside as many runs of the peer: one is measured,
    each costs the same.

    Ours have their daily loss limit, as in a search: who has reached it is over.
    """
    draw = np.random.default_rng(0)
    drawn: list[dict[str, Any]] = [{name: draw.uniform(*bounds) for name, bounds in RANGES.items()} for _ in range(SETTINGS_AT_ONCE)]
    policies = [Policy(**settings) for settings in drawn]
    session, rules, _ = _predicted(path)
    with open_backend("processes", [(session, rules)] * 2, 2) as replays:
        ours = _least(lambda: replays(policies))
    total, rows = SETTINGS_AT_ONCE * peer, 2 * SETTINGS_AT_ONCE * len(session.tape.rows)
    return Line(
        f"{SETTINGS_AT_ONCE} settings of the scores beside as many runs of hftbacktest's touch policy, two sessions on two cores",
        _rate(rows, ours),
        _rate(rows, total),
        total / ours,
        MANY_TARGET,
    )


@cache
def _predicted(path: Path) -> tuple[Session, np.ndarray, Replayer]:
    """In a process of the pool: the session with predictions, its rules, and memory to replay it in."""
    session = _session(_read(path), zeros=False)
    return session, make_rules(MARKET, TRADING, session), Replayer()


def _memory(path: Path) -> Line:
    """Peak of a process that replays one session, and of one that replays six."""
    one, six = (_peak(path, sessions) for sessions in (1, 6))
    return Line("peak memory after six sessions, beside after one", f"{six:.0f} MB", f"{one:.0f} MB", one / six, MEMORY_TARGET)


def _peak(path: Path, sessions: int) -> float:
    command = [sys.executable, "-m", "benchmarks.fills", str(path), str(sessions)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _replay_sessions(path: Path, sessions: int) -> None:
    """In a process of its own: read and replay sessions one after another, then tell the peak in MB."""
    replayer = Replayer()
    for _ in range(sessions):
        session = _session(_read(path), zeros=True)
        replayer.run(session, AT_TOUCH, _rules(session))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _least(work: Callable[[], Any]) -> float:
    """Seconds of the quickest of several runs, the first of which only warms up."""
    work()
    return min(_seconds(work) for _ in range(REPEATS))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rate(events: int, seconds: float) -> str:
    return f"{events / seconds / MILLION:.2f} M/s"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _replay_sessions(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
