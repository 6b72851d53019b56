"""An agent's orders in the book of the order flow: met in price and time, never followed, never withdrawn."""

import numpy as np
import pytest

from assets.ticks.exchange import participants
from assets.ticks.exchange.engine import BEST_ASK, BEST_BID, BUY, NEXT_SLOT, NOBODY, ROWS, SELL, Exchange, new_exchange, submit

SEEDS = range(20)
MID = 100


class Book:
    """An opened book, and an agent who may act in it."""

    def __init__(self, seed: int) -> None:
        self.x: Exchange = new_exchange(200, 5_000)
        self.random = np.array([seed], np.uint64)
        participants.open_book(self.x, self.random, MID)

    def enter(self, side: int, level: int, size: int = 1) -> int:
        slot = int(self.x.state[NEXT_SLOT])
        self.x.owner[slot] = 0
        submit(self.x, side, level, size, True)
        return slot

    def fills(self, since: int) -> list[int]:
        """The orders met since a row of the tape, in their order."""
        rows = self.x.tape[since : self.x.state[ROWS]]
        return [int(order) for order in rows["order_id"][rows["action"] == ord("F")]]

    @property
    def touch(self) -> tuple[int, int]:
        return participants.touch(self.x, BUY), participants.touch(self.x, SELL)

    @property
    def best(self) -> tuple[int, int]:
        return int(self.x.state[BEST_BID]), int(self.x.state[BEST_ASK])


@pytest.mark.parametrize("seed", SEEDS)
def test_an_order_alone_at_a_better_price_is_met_first_and_is_not_taken_for_the_touch(seed):
    book = Book(seed)
    participants.move(book.x, book.random, 1, 0, 1)  # the offer rises a tick
    ours = book.enter(BUY, MID + 1)
    assert book.best == (MID + 1, MID + 2)
    assert book.touch == (MID, MID + 2)
    participants.add(book.x, book.random, BUY, 0)
    assert book.x.orders[MID + 1] == 1, "the flow followed us"
    since = int(book.x.state[ROWS])
    assert participants.take(book.x, book.random, SELL) == SELL
    assert book.fills(since)[0] == ours
    assert book.touch == (MID, MID + 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_market_order_leaves_the_flow_a_contract_and_does_not_reach_an_order_of_ours_behind_it(seed):
    book = Book(seed)
    ours = book.enter(SELL, MID + 1, 3)
    for _ in range(200):
        participants.take(book.x, book.random, BUY)
    assert book.x.volume[MID + 1] == 1 + 3
    assert book.x.size[ours] == 3
    participants.add(book.x, book.random, SELL, 0)
    for _ in range(200):
        participants.take(book.x, book.random, BUY)
    assert book.x.size[ours] == 0 or book.x.volume[MID + 1] == 4, "once an order of the flow stands behind ours, ours trades before it"


@pytest.mark.parametrize("seed", SEEDS)
def test_when_both_quotes_rise_our_offer_at_the_touch_is_sold_by_a_sweep_or_to_the_renewed_bid(seed):
    book = Book(seed)
    ours = book.enter(SELL, MID + 1, 4)
    since = int(book.x.state[ROWS])
    participants.move(book.x, book.random, 1, 1, 1)
    assert book.x.size[ours] == 0
    assert ours in book.fills(since)
    assert book.touch == book.best == (MID + 1, MID + 2)


def test_an_offer_that_only_widens_is_swept_with_ours_or_leaves_ours_standing_as_the_best():
    left = 0
    for seed in SEEDS:
        book = Book(seed)
        ours = book.enter(SELL, MID + 1)
        swept = participants.move(book.x, book.random, 1, 0, 1) == BUY
        assert book.touch == (MID, MID + 2)
        assert (book.x.size[ours] == 0) == swept
        assert book.best == (MID, MID + 2 if swept else MID + 1)
        left += not swept
    assert 0 < left < len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_but_us_withdraws_our_order(seed):
    book = Book(seed)
    ours = [book.enter(side, level) for side, level in ((BUY, MID), (SELL, MID + 1), (BUY, MID - 3), (SELL, MID + 4))]
    for _ in range(300):
        for level in (MID, MID + 1, MID - 3, MID + 4):
            participants.withdraw(book.x, book.random, level, 0 if level not in (MID, MID + 1) else 1, 0.2, 0.55)
    assert (book.x.size[ours] == 1).all()
    assert book.touch == (MID, MID + 1)
    assert (book.x.owner[book.x.live[: book.x.state[3]]] != NOBODY).sum() == len(ours)
