"""Laws of the matching engine, on any sequence of orders."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ticks.exchange import engine
from assets.ticks.exchange.engine import BEST_ASK, BEST_BID, BUY, F_LAST, ROWS, SELL, cancel, end_event, modify, new_exchange, submit

LEVELS = 20

REQUESTS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from([BUY, SELL]), st.integers(0, LEVELS - 1), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 10_000)),
        st.tuples(st.just("modify"), st.integers(0, 10_000), st.integers(0, LEVELS - 1), st.integers(1, 9)),
    ),
    max_size=80,
)


@dataclass
class Plain:
    """The same market in plain Python: two lists of queues, each a deque of [order, size]."""

    queues: tuple[dict[int, deque[list[int]]], dict[int, deque[list[int]]]] = field(default_factory=lambda: ({}, {}))
    fills: list[tuple[int, int, int]] = field(default_factory=list)

    def submit(self, order: int, side: int, level: int, size: int, rests: bool) -> None:
        other = self.queues[1 - side]
        while size and other:
            best = min(other) if side == BUY else max(other)
            if best > level if side == BUY else best < level:
                break
            queue = other[best]
            taken = min(size, queue[0][1])
            self.fills.append((queue[0][0], best, taken))
            size -= taken
            queue[0][1] -= taken
            if not queue[0][1]:
                queue.popleft()
            if not queue:
                del other[best]
        if size and rests:
            self.queues[side].setdefault(level, deque()).append([order, size])

    def take_out(self, order: int) -> tuple[int, int, int]:
        for side in (BUY, SELL):
            for level, queue in self.queues[side].items():
                for entry in queue:
                    if entry[0] == order:
                        queue.remove(entry)
                        if not queue:
                            del self.queues[side][level]
                        return side, level, entry[1]
        raise AssertionError(f"order {order} is not in the book")

    def modify(self, order: int, level: int, size: int) -> None:
        for side in (BUY, SELL):
            for entry in self.queues[side].get(level, ()):
                if entry[0] == order and size <= entry[1]:
                    entry[1] = size
                    return
        side, _, _ = self.take_out(order)
        self.queues[side].setdefault(level, deque()).append([order, size])

    def live(self) -> list[int]:
        return sorted(entry[0] for side in self.queues for queue in side.values() for entry in queue)

    def best(self, side: int) -> int:
        levels = self.queues[side]
        if side == BUY:
            return max(levels, default=-1)
        return min(levels, default=LEVELS)


def book_of(x: engine.Exchange) -> list[list[tuple[int, int]]]:
    """Each level's queue: (order, size) from the front."""
    levels = []
    for level in range(LEVELS):
        queue, slot = [], int(x.head[level])
        while slot >= 0:
            queue.append((slot, int(x.size[slot])))
            slot = int(x.after[slot])
        levels.append(queue)
    return levels


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_the_engine_is_a_price_time_priority_market(requests: list[tuple]) -> None:
    x, plain = new_exchange(LEVELS, 10_000), Plain()
    for request in requests:
        live = plain.live()
        if request[0] == "submit":
            _, side, level, size, rests = request
            plain.submit(int(x.state[engine.NEXT_SLOT]), side, level, size, rests)
            submit(x, side, level, size, rests)
        elif live and request[0] == "cancel":
            order = live[request[1] % len(live)]
            plain.take_out(order)
            cancel(x, order)
        elif live:
            order, level, size = live[request[1] % len(live)], request[2], request[3]
            side = int(x.side[order])
            crosses = level >= plain.best(SELL) if side == BUY else level <= plain.best(BUY)
            assert modify(x, order, level, size) is not crosses
            if not crosses:
                plain.modify(order, level, size)
        end_event(x)
        both = {level: [tuple(entry) for entry in queue] for side in plain.queues for level, queue in side.items()}
        assert book_of(x) == [both.get(level, []) for level in range(LEVELS)]
        assert x.state[BEST_BID] == plain.best(BUY)
        assert x.state[BEST_ASK] == plain.best(SELL)
        assert x.state[BEST_BID] < x.state[BEST_ASK]
        assert x.volume.tolist() == [sum(size for _, size in queue) for queue in book_of(x)]
        assert x.orders.tolist() == [len(queue) for queue in book_of(x)]
    told = x.tape[: x.state[ROWS]]
    fills = told[told["action"] == ord("F")]
    assert list(zip(fills["order_id"].tolist(), fills["price"].tolist(), fills["size"].tolist(), strict=True)) == plain.fills


def test_an_execution_is_told_as_the_exchange_feed_tells_it() -> None:
    x = new_exchange(LEVELS, 10_000)
    for level, size in [(10, 2), (10, 3), (11, 4)]:
        submit(x, SELL, level, size, True)
        end_event(x)
    submit(x, BUY, 11, 6, True)
    end_event(x)
    columns = [x.tape[name][3 : x.state[ROWS]].tolist() for name in ("action", "side", "price", "size", "order_id", "sequence")]
    told = [(chr(action), chr(side), *rest) for action, side, *rest in zip(*columns, strict=True)]
    assert told == [
        ("T", "B", 10, 5, 3, 4),
        ("F", "A", 10, 2, 0, 4),
        ("F", "A", 10, 3, 1, 4),
        ("T", "B", 11, 1, 3, 4),
        ("F", "A", 11, 1, 2, 4),
        ("C", "A", 10, 2, 0, 5),
        ("C", "A", 10, 3, 1, 5),
        ("M", "A", 11, 3, 2, 5),
    ]
    assert np.flatnonzero(x.tape["flags"][: x.state[ROWS]] & F_LAST).tolist() == [0, 1, 2, 10]


def test_what_an_aggressor_has_left_rests_under_its_own_number_or_is_dropped() -> None:
    x = new_exchange(LEVELS, 10_000)
    submit(x, SELL, 10, 2, True)
    assert submit(x, BUY, 10, 5, True) == 2
    assert book_of(x)[10] == [(1, 3)]
    assert submit(x, SELL, 10, 9, False) == 3
    assert (x.state[BEST_BID], x.state[BEST_ASK]) == (-1, LEVELS)
