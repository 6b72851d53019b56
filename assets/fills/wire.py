"""What passes between the exchange and us: orders, requests, fills, the rules of both sides, and a replay's memory."""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from assets.books.codes import Int
from assets.fills.policy import LEVELS

kernel = njit(cache=True, _nrt=False, no_cfunc_wrapper=True)
"""How the event loop is compiled: nothing in it allocates, so it runs without numba's reference counts, whose
atomic increments at each call took three quarters of its time (numba 0.68)."""

part = njit(cache=True, _nrt=False, forceinline=True, no_cfunc_wrapper=True)
"""The same for what belongs to the loop: a call hands over the whole room, some sixty words, which took a quarter of its time. What is
called once in ten rows and is long (`trader.amend`) is better called: the loop around it then keeps more in registers."""

NEW, CANCEL = range(2)
SCORE, LIMIT, FLATTEN, CLOSE, GAP = range(5)
RESTING, DONE, REJECTED, CANCELLED, TOO_LATE, IN_FLIGHT = range(6)
"""State of an order, and answer to a request; the first five in the order of the names in `simulate.py`."""

TAKEN_ON, OWN_ORDER, POST_ONLY, POSITION, MESSAGE_RATE, ORDER_TO_TRADE, CLOSED, LOSS, ENDING, NOT_TRADING = range(10)
"""Why a new order is rejected; the first is not."""

NEVER: Final = np.iinfo(np.int64).max
"""Later than every event."""


def _record(**fields: str) -> np.dtype[np.void]:
    """A structured type from field names by their format."""
    return np.dtype([(name, kind) for kind, names in fields.items() for name in names.split()], align=True)


ORDER: Final = _record(i8="since yielded_at", f8="ahead yielded", i4="px left priority", i1="side", u1="state immediate")
"""An order of ours at the exchange. left: contracts open; ahead: contracts before it, a fraction where they are estimated;
priority: of the first order behind it; since: when it arrived; yielded: contracts by which cancels of unknown place have moved it up
of late, the last of them at yielded_at."""

OWN: Final = _record(i8="since yielded_at", f8="ahead yielded", i4="px known priority", i1="side", u1="leaving shown heard")
"""The same order as we know it. known: contracts open as far as we have heard; leaving: a cancel is under way; shown: the market's feed
holds it, and its place (ahead, priority, since, yielded) follows from that feed alone (`places.py`): of use to us once we have heard that
it rests (heard)."""

REQUEST: Final = _record(
    i8="ts_request ts_arrival ts_response",
    f8="score prediction",
    i4="order px quantity ahead",
    i1="side",
    u1="kind reason immediate answer refusal",
)
"""A message to the exchange and its answer; ahead is -1 and score NaN where they mean nothing."""

SENT: Final = [name for name in REQUEST.names or () if name not in ("ts_response", "ahead", "answer", "refusal")]
"""What of a REQUEST its sender knows: the rest is the exchange's, and heard when it has come back."""

FILL: Final = _record(i8="ts ts_known fee cash position", i4="order px quantity", i1="side", u1="maker")

MOST_ORDERS: Final = 64
"""Orders of ours open at once, at most: five levels a side, and as many again on their way out, leave room enough."""

STATE: Final = np.dtype(
    [
        *_record(i8="position cash contracts volume arrived fills cancelled full newest returned turn turn_known turn_orders").descr,
        ("count", "i8", 2),
        ("resting", "i8", (2, MOST_ORDERS)),
        ("front", "i8", 2),
        ("back", "i8", 2),
    ]
)
"""The exchange's: the account; what the market has traded, where it is counted as it comes; how many requests have arrived and fills
been made; full: a log was too short; returned: when the last answer or fill is back; turn: how many of the RULES'
turns have passed, when the last end of trading is known to us, and how many orders we had sent by then.

resting: our resting orders a side, best price first, then the earlier; newest: the greatest priority that an order of ours had; front,
back: `exchange.reach` of the first and the last place of ours that the market's rows are followed for, 0 where there is none."""

OURS: Final = np.dtype(
    [
        *_record(i8="known_position known_cash known_contracts orders sent heard fills_heard turns_heard").descr,
        *_record(i8="stopped full ts now bid ask lives", f8="prediction tilt pull least most").descr,
        ("live", "i8", MOST_ORDERS),
        ("standing", "i8", (2, LEVELS)),
        ("scores", "f8", LEVELS),
        ("settled", "i8", 2),
        ("low", "f8", 2),
        ("high", "f8", 2),
        ("room", "i8", 2),
        ("highest", "f8", 2),
        ("lowest", "f8", 2),
    ]
)
"""Ours: the account as we have heard it; how many orders and requests we have sent; how many answers, fills and turns we have heard.

live: our orders that are open as far as we know, oldest first. Of the decision being made: the time of the market that it sees (ts), its
own time (now), touch and prediction, our order at each level of a side (-1: none) and the scores of a side's levels; tilt: what the
position takes from those of the bid; pull: what the mid adds to them.
settled, by side: the decision would be made again while the touch and our position stay and prediction and mid lean between low and high
(`settled.py`), least and most being the closer ones of both sides; room, highest, lowest: whether a side may send (0), may change
orders (1) or neither (2), and without what leans the highest score without an order and the lowest with one."""

SLOT_BITS: Final = 27
SLOTS: Final = 1 << 13
"""A leg of the wire has one delay for 2^27 ns (0.134 s), and SLOTS of them before they come again (18 minutes)."""

MOST_TURNS: Final = 512
"""Places for the ends and beginnings of continuous trading within a session: breaks, halts, rolls."""

RULES: Final = np.dtype(
    [
        *_record(
            i8="base tick_value maker_fee taker_fee loss_limit order_size post_only flatten_ns close_ns queue "
            "max_position busy_position allowed_position allowed_busy_position high_volume busy_ns "
            "allowed_loss allowed_until max_gap messages_per_second order_to_trade_free timeless from_behind",
            f8="queue_exponent order_to_trade skew",
        ).descr,
        ("turns", "i8", MOST_TURNS),
        *((f"{leg}_delay", "i8", SLOTS) for leg in ("feed", "order", "cancel", "response")),
    ]
)
"""What the venue, the broker and the desk lay down, one record; money in 1e-9 of the currency, times in
nanoseconds. base: ticks that px = 0 stands for. From flatten_ns on the position is closed and nothing is quoted.
max_position is what our own code holds, allowed_position what the check before the exchange lets pass; both are the
busy ones from busy_ns on, when the session has traded high_volume contracts. loss_limit and flatten_ns are our own code's, allowed_loss
and allowed_until the check's. skew: ticks that a score loses for each contract held on its side. max_gap: silence of the feed that we bear.
timeless: none of these rules makes a decision another one by time alone. from_behind: while as many contracts stand at a price as stood
ahead of us, none of these has left: what leaves is taken to have stood behind us.
turns: when continuous trading ends and begins again, in turn, then NEVER: where it ends the exchange cancels what rests.
queue, queue_exponent: how the place in a queue is estimated where it is not known (`queues.py`). The delays by the
slot of time in which a message sets out (`delays.py`)."""

STANDS, ALARM, TAKEN, FRONT, REST = range(5)
"""Places of a ladder's price: contracts that rest there; fewer than how many make what happens there our business: ALWAYS where an order
of ours rests, 0 where we do not care (`settled.py`). The exchange alone knows those that we have taken, which are the first of the
queue: how many, the priority of the last order that we took of (-1: not known), and what we left of it."""

ALWAYS: Final = np.iinfo(np.int32).max
"""More contracts than a price ever has."""


def make_ladder(width: int) -> np.ndarray:
    """An empty ladder of a Room."""
    return np.zeros((2, width, REST + 1), np.int32)


@part
def delayed(ts: Int, delay: np.ndarray) -> Int:
    """When what sets out at `ts` arrives over a leg of the wire, if nothing before it is still under way."""
    return ts + delay[(ts >> SLOT_BITS) & (SLOTS - 1)]


class Trader(NamedTuple):
    """What we decide by: the market as its feed shows it and what we have heard. Nothing of the exchange's is in it."""

    ladder: np.ndarray
    """int32[2, width, 2]: by side and price, STANDS and ALARM."""
    orders: np.ndarray
    """OWN records."""
    requests: np.ndarray
    """REQUEST records, of which the SENT fields alone are seen."""
    state: Any
    """OURS record."""
    rules: Any
    policy: Any


class Room(NamedTuple):
    """A replay's memory, used again for the next, and what it goes by: the exchange's, and in a record of its own the trader's."""

    ladder: np.ndarray
    """int32[2, width, 5]: by side and price, STANDS, ALARM, TAKEN, FRONT and REST."""
    orders: np.ndarray
    """ORDER records."""
    requests: np.ndarray
    """REQUEST records."""
    fills: np.ndarray
    """FILL records."""
    state: Any
    """STATE record."""
    rules: Any
    policy: Any
    trader: Trader
    gone: np.ndarray
    """int32[rows]: zeros, to count in (`exchange.note_taken`)."""


class Memory:
    """What a Room is made of."""

    def __init__(self, places: int, fills: int | None = None) -> None:
        """Room for so many orders and requests, and for as many fills unless told otherwise."""
        self.orders, self.own = np.zeros(places, ORDER), np.zeros(places, OWN)
        self.requests, self.fills = np.zeros(places, REQUEST), np.zeros(places if fills is None else fills, FILL)
        self.state, self.ours, self._gone = np.zeros(1, STATE), np.zeros(1, OURS), np.zeros(0, np.int32)

    def room(self, ladder: np.ndarray, rules: np.ndarray, policy: np.ndarray, rows: int = 0) -> Room:
        """The room, with nothing in it yet; the logs keep what they hold, which is written anew before it is read.

        Args:
            ladder: an empty one (`make_ladder`).
            rules, policy: arrays of one RULES and one POLICY.
            rows: of the tape that the exchange replays.
        """
        self.state[:], self.ours[:] = np.zeros(1, STATE), np.zeros(1, OURS)
        if len(self._gone) < rows:
            self._gone = np.zeros(rows, np.int32)
        trader = Trader(ladder[:, :, :TAKEN], self.own, self.requests[SENT], self.ours[0], rules[0], policy[0])
        return Room(ladder, self.orders, self.requests, self.fills, self.state[0], rules[0], policy[0], trader, self._gone)

    @property
    def sent(self) -> np.ndarray:
        """The requests that were sent."""
        return self.requests[: int(self.ours["sent"][0])]

    @property
    def filled(self) -> np.ndarray:
        """The fills that were made."""
        return self.fills[: int(self.state["fills"][0])]
