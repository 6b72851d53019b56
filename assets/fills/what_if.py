"""The same session, policy and predictions under other assumptions: a longer wire, another way to know the queue.

A result that only holds at one delay, or only if the queue is kind, is not one to trade on. The queue's rows are replayed on the
tape as an aggregated feed shows it, but for `exact`: between `pessimist` and `optimist` lies whatever the truth is.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from assets.desk import Delays, Market, Trading
from assets.fills.policy import Policy
from assets.fills.replay import Replayer, Session, make_rules
from assets.fills.rows import REMOVED, UNKNOWN
from assets.fills.tape import Tape, aggregated

LATENCIES: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Milliseconds one way."""

ESTIMATE: Final = ("share", 5.0)
"""The estimate where the desk names none: Databento's, with k = -0.8."""


def what_if(session: Session, policy: Policy, market: Market, trading: Trading) -> pl.DataFrame:
    """Rows of `what_if`: a session replayed once for each assumption; `exact` only where the tape knows its orders."""
    estimate = (trading.queue, trading.queue_exponent) if trading.queue in ("power", "share", "logarithm") else ESTIMATE
    queues = [("exact", 1.0)] if knows_orders(session.tape) else []
    queues += [("pessimist", 1.0), estimate, ("optimist", 1.0)]
    shown = Session(aggregated(session.tape), session.ts, session.signals, session.window)
    assumed: list[tuple[str, str, Session, dict[str, Any]]] = [
        ("latency", f"{latency:g} ms", session, {"latency_ms": latency, "delays": Delays()}) for latency in LATENCIES
    ]
    for queue, exponent in queues:
        replayed = session if queue == "exact" else shown
        setting = "estimate" if (queue, exponent) == estimate else queue
        assumed.append(("queue", setting, replayed, {"queue": queue, "queue_exponent": exponent}))
    replayer, rows = Replayer(), []
    for assumption, setting, replayed, changes in assumed:
        assuming = trading.model_copy(update=changes)
        replayer.run(replayed, policy, make_rules(market, assuming, replayed))
        told = {"latency_ms": assuming.latency_ms, "queue": assuming.queue, "queue_exponent": assuming.queue_exponent}
        rows.append({"assumption": assumption, "setting": setting, **told, **replayer.figures()})
    return pl.DataFrame(rows)


def knows_orders(tape: Tape) -> bool:
    """Whether the tape says of a contract that left whose it was."""
    return not bool(np.any(tape.rows["priority"][tape.rows["kind"] == REMOVED] == UNKNOWN))
