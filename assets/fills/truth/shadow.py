"""Shadow orders: real resting orders, whose fate is known, as questions to the queue models.

A market-by-order session says of each order when it joined a queue and when it traded or left. Its identity is hidden and
an estimator asked, from levels and trades alone, as an aggregated feed shows them, when it would have filled:

- the estimator knows the order's price, its own contracts and those that stood ahead when it joined;
- a trade takes from the front; of a cancel the queue model says where it stood (`queues.py`, the simulator's own arithmetic);
- the order is asked about until it leaves or trading ends. An estimate that has not filled when the real order does is followed for
  `GRACE_NS` more, for the error of the time; its fate is told wrong all the same.

An order counts as filled with its first contract. The exact queue is asked too: it knows whose contracts traded and left,
and is wrong only where a venue does not keep to first in, first out or sends fills that name no order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl
from numba import njit

from assets.books.codes import BID, Int
from assets.desk import NS
from assets.fills.queues import EXACT, LOGARITHM, OPTIMIST, PESSIMIST, POWER, QUEUES, SHARE, after_cancel
from assets.fills.rows import ADDED, CLEARED, FILLED, REMOVED, UNKNOWN
from assets.fills.tape import Tape, double_mids

if TYPE_CHECKING:
    from assets.hours import Window

GRACE_NS: Final = 60 * NS
"""How long an estimate may come after the real fill and still be given an error of time."""

MARKOUT_NS: Final = 10 * NS
"""After a fill the mid is looked up: the desk's prediction horizon by default."""

DEPTH: Final = 4
"""Ticks behind the touch, at most, at which an order is asked about: the prices that the policy scores."""

EVERY: Final = 4
"""One order in so many is asked about: some thousand a session, whose fates tell the models apart to half a percent."""


class QueueModel(NamedTuple):
    """A way to know the queue."""

    queue: int
    exponent: float
    """1 where the model has none."""


MODELS: Final = (
    *(QueueModel(queue, 1.0) for queue in (EXACT, PESSIMIST, OPTIMIST, LOGARITHM)),
    *(QueueModel(POWER, exponent) for exponent in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)),
    *(QueueModel(SHARE, exponent) for exponent in (1.0, 2.0, 3.0, 5.0, 10.0, 20.0)),
)
"""What is asked of every session. The two families with an exponent are asked over a grid, so that one can be fitted."""

FITTED: Final = ("power", "share")
"""Names of the families whose exponent is fitted."""

ASKED: Final = np.dtype(
    [("ts", "i8"), ("ts_end", "i8"), *((name, "i4") for name in ("row", "px", "ahead")), ("side", "u1"), ("filled", "u1")], align=True
)
"""A question and its answer. ts: joined; ts_end: first fill, or end without one; row: of the tape, its priority; ahead:
contracts before it when it joined."""

_MOST_ACTIVE: Final = 4096
"""Orders under question at once, at most; what would be one more is not asked."""


def ask(
    tape: Tape, window: "Window", models: Sequence[QueueModel] = MODELS, *, every: int = EVERY
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ask the models about one in `every` of a session's orders that joined within `DEPTH` ticks of the touch.

    Returns:
        (asked, estimated, errors): ASKED[n]; int64[n, models], when each model has it filled, 0 for never; float64[n, 2, models],
        contracts by which it has too many ahead, mean over the order's life, and the same without the sign.
    """
    adds = tape.rows["kind"] == ADDED
    most = int(adds.sum()) // every + 1
    asked, estimated = np.zeros(most, ASKED), np.zeros((most, len(models)), np.int64)
    errors = np.zeros((most, 2, len(models)))
    queues, exponents = np.array([m.queue for m in models]), np.array([m.exponent for m in models])
    shut = ~window.within(tape.rows["ts"])
    shut &= tape.rows["ts"] >= window.open_ns
    n = _ask(tape.rows, tape.width, window.open_ns, window.close_ns, shut, every, queues, exponents, asked, estimated, errors)
    return asked[:n], estimated[:n], errors[:n]


def fidelity(tape: Tape, window: "Window", models: Sequence[QueueModel] = MODELS, *, every: int = EVERY) -> pl.DataFrame:
    """Rows of `shadow_orders`: how well each model tells what became of a session's orders."""
    asked, estimated, errors = ask(tape, window, models, every=every)
    if not len(asked):
        return pl.DataFrame()
    filled = asked["filled"] == 1
    markouts = _markouts(tape, asked, np.where(filled, asked["ts_end"], 0), window)
    rows = []
    for m, model in enumerate(models):
        ts = estimated[:, m]
        believed = (ts > 0) & (ts <= asked["ts_end"])
        late = np.abs(ts - asked["ts_end"])[filled & (ts > 0)] / NS
        rows.append(
            {
                "queue": QUEUES[model.queue],
                "exponent": model.exponent,
                "orders": len(asked),
                "filled": int(filled.sum()),
                "filled_estimated": int(believed.sum()),
                "missed": int((filled & ~believed).sum()),
                "imagined": int((believed & ~filled).sum()),
                "told_right": float((filled == believed).mean()),
                "time_error_s": float(np.median(late)) if late.size else None,
                "time_error_mean_s": _mean(late),
                "queue_error": float(errors[:, 0, m].mean()),
                "queue_abs_error": float(errors[:, 1, m].mean()),
                "markout_ticks": _mean(markouts),
                "markout_estimated_ticks": _mean(_markouts(tape, asked, np.where(believed, ts, 0), window)),
            }
        )
    nullable = ("time_error_s", "time_error_mean_s", "markout_ticks", "markout_estimated_ticks")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(nullable, pl.Float64))


def fit_exponent(fidelities: pl.DataFrame) -> pl.DataFrame:
    """Rows of `queue_fit`: of each family the exponent that told most fates right over the sessions of a training window.

    Args:
        fidelities: `shadow_orders` of the window's sessions, one below the other.
    """
    wrong = (pl.col("missed") + pl.col("imagined")).sum()
    by_exponent = (
        fidelities.filter(pl.col("queue").is_in(FITTED))
        .group_by("queue", "exponent")
        .agg(sessions=pl.len().cast(pl.Int64), orders=pl.col("orders").sum(), told_right_train=1 - wrong / pl.col("orders").sum())
    )
    # Of equals the smaller exponent: it believes in fewer cancels from behind.
    best = by_exponent.sort(["told_right_train", "exponent"], descending=[True, False]).unique("queue", keep="first", maintain_order=True)
    return best.sort("queue")


def _markouts(tape: Tape, asked: np.ndarray, ts: np.ndarray, window: "Window") -> np.ndarray:
    """Ticks that each fill is worth `MARKOUT_NS` later; those of never (0), or whose markout lies past the end of trading, are left out."""
    kept = (ts > 0) & (ts + MARKOUT_NS <= window.until(ts))
    mids = double_mids(tape)
    if not kept.any() or not len(mids):
        return np.empty(0)
    later = mids[np.searchsorted(tape.rows["ts"], ts[kept] + MARKOUT_NS, side="right") - 1] / 2
    sign = np.where(asked["side"][kept] == BID, 1, -1)
    return np.asarray(sign * (later - tape.base - asked["px"][kept]))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


@njit(cache=True)
def _ask(
    rows: np.ndarray,
    width: int,
    open_ns: int,
    close_ns: int,
    shut: np.ndarray,
    every: int,
    queues: np.ndarray,
    exponents: np.ndarray,
    asked: np.ndarray,
    estimated: np.ndarray,
    errors: np.ndarray,
) -> int:
    models = len(queues)
    ladder = np.zeros((2, width), np.int64)
    active, count = np.zeros((2, _MOST_ACTIVE), np.int64), np.zeros(2, np.int64)
    own, true_ahead, last = np.zeros(len(asked), np.int64), np.zeros(len(asked), np.int64), np.zeros(len(asked), np.int64)
    ahead = np.zeros((len(asked), models))
    restored, seen, n = -1, 0, 0
    for r in range(len(rows)):
        row = rows[r]
        kind, side, px, size, priority, ts = row.kind, np.int64(row.side), np.int64(row.px), np.int64(row.size), row.priority, row.ts
        if ts >= close_ns:
            break
        if kind == ADDED:
            ladder[side, px] += size
        elif kind in (REMOVED, FILLED):
            ladder[side, px] -= size
        elif kind == CLEARED:
            ladder[:] = 0
            restored = priority
        if shut[r] or kind == CLEARED:
            for s in range(2):
                for j in range(count[s]):
                    _close(active[s, j], ts, asked, ahead, true_ahead, last, errors, estimated)
                count[s] = 0
            continue

        back: Int = 0  # contracts of an order that leaves its price and joins it again at once: levels show what it gained or lost
        if kind == REMOVED and r + 1 < len(rows):
            joins = rows[r + 1]
            if joins.kind == ADDED and joins.ts == ts and joins.side == side and joins.px == px:
                back = min(size, np.int64(joins.size))

        # An opposite order that comes to rest at a price of ours or through it would have met us.
        met = 1 - side if kind == ADDED else side
        sign, j = 1 if met == BID else -1, 0
        while j < count[met]:
            o = active[met, j]
            question = asked[o]
            better = sign * (question.px - px)
            over = question.filled and ts > question.ts_end + GRACE_NS
            if not over and better >= 0 and (better == 0 or kind != REMOVED):
                if not question.filled and better == 0:
                    _pass(o, ts, ahead, true_ahead, last, errors, estimated)
                mine = better == 0 and priority == question.row and kind in (REMOVED, FILLED)
                for m in range(models):
                    if estimated[o, m]:
                        continue
                    exact = queues[m] == EXACT
                    if kind == REMOVED:
                        if mine:
                            continue
                        if not exact:
                            behind = max(ladder[met, px] + size - own[o] - ahead[o, m], 0.0)
                            ahead[o, m] = after_cancel(queues[m], exponents[m], ahead[o, m], behind, float(size - back))
                        elif priority < question.row:
                            ahead[o, m] -= size
                    elif exact and better == 0 and kind == FILLED and UNKNOWN < priority < question.row:
                        ahead[o, m] -= size
                    elif size - ahead[o, m] >= 0.5:
                        estimated[o, m] = ts
                        ahead[o, m] = 0.0
                    elif better == 0 and kind == FILLED and not exact:
                        ahead[o, m] -= size
                if better == 0 and kind in (REMOVED, FILLED):
                    if mine:
                        own[o] -= size
                        if kind == FILLED and not question.filled:
                            question.filled, question.ts_end = 1, ts
                        elif own[o] == 0 and not question.filled:
                            question.ts_end = ts
                            over = True
                    elif priority < question.row:
                        true_ahead[o] -= size
            if not over and question.filled:
                over = True
                for m in range(models):
                    over = over and estimated[o, m] > 0
            if over:
                count[met] -= 1
                active[met, j] = active[met, count[met]]
            else:
                j += 1

        if kind == ADDED and r > restored and ts >= open_ns and count[side] < _MOST_ACTIVE:
            distance = row.bid - px if side == BID else px - row.ask
            if 0 <= distance <= DEPTH and row.bid < row.ask:
                seen += 1
                if seen % every == 0:
                    question = asked[n]
                    question.ts, question.ts_end, question.row, question.px, question.side = ts, 0, r, px, side
                    question.ahead = ladder[side, px] - size
                    own[n], true_ahead[n], last[n] = size, question.ahead, ts
                    ahead[n, :] = question.ahead
                    active[side, count[side]] = n
                    count[side] += 1
                    n += 1
    for s in range(2):
        for j in range(count[s]):
            _close(active[s, j], min(close_ns, rows[len(rows) - 1].ts), asked, ahead, true_ahead, last, errors, estimated)
    for o in range(n):
        life = asked[o].ts_end - asked[o].ts
        if life > 0:
            errors[o] /= life
    return n


@njit(cache=True)
def _pass(o: Int, ts: Int, ahead: np.ndarray, true_ahead: np.ndarray, last: np.ndarray, errors: np.ndarray, estimated: np.ndarray) -> None:
    """Weigh the error that has stood since the order's price last changed by the time it stood."""
    stood = ts - last[o]
    last[o] = ts
    for m in range(ahead.shape[1]):
        error = (0.0 if estimated[o, m] else ahead[o, m]) - true_ahead[o]
        errors[o, 0, m] += stood * error
        errors[o, 1, m] += stood * abs(error)


@njit(cache=True)
def _close(
    o: Int,
    ts: Int,
    asked: np.ndarray,
    ahead: np.ndarray,
    true_ahead: np.ndarray,
    last: np.ndarray,
    errors: np.ndarray,
    estimated: np.ndarray,
) -> None:
    """The book was emptied or the session is over: what has not filled will not."""
    if not asked[o].filled:
        _pass(o, ts, ahead, true_ahead, last, errors, estimated)
        asked[o].ts_end = ts
