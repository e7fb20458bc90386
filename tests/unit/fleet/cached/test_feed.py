"""Batches in order, gaps asked for, and nothing believed that may be gone."""

from __future__ import annotations

from gateway.fleet.cached.follower import ASKINGS, Feed
from tests.support.publishing import batch, removed, stored

END = (1 << 64) - 1


def one(number: int) -> bytes:
    return batch(stored([number], [number] * 4), at=float(number))


class Following:
    """A feed, and what it asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.feed = Feed(self.asked.append, now=lambda: 10.0)
        self.feed.begin()

    def told(self, *numbers: int) -> None:
        for number in numbers:
            self.feed.replayed(number, one(number))
        self.feed.replayed(END, b"")

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self.feed.published(number, one(number))

    @property
    def known(self) -> int:
        return len(self.feed.blocks)


def test_it_learns_what_was_before_and_goes_on_from_there() -> None:
    following = Following()
    following.publish(2, 3)  # while the older ones are told
    following.told(0, 1, 2)
    assert (following.asked, following.known, following.feed.is_in_step) == ([0], 4, True)
    following.publish(4)
    assert (following.known, following.feed.gaps, following.feed.lag) == (5, 0, 6.0)


def test_a_gap_is_asked_for_and_closed() -> None:
    following = Following()
    following.told(0)
    following.publish(3)
    assert (following.asked, following.feed.is_in_step) == ([0, 1], False)
    following.told(1, 2)
    assert (following.known, following.feed.gaps, following.feed.is_in_step) == (4, 0, True)


def test_what_the_engine_has_no_more_takes_all_with_it() -> None:
    following = Following()
    following.told(0)
    following.publish(3)
    following.told()
    assert following.asked == [0, 1, 1]
    following.told(3)
    assert (following.known, following.feed.gaps, following.feed.is_in_step) == (1, 1, True)


def test_it_does_not_ask_for_ever() -> None:
    following = Following()
    following.told(0)
    following.publish(5)
    for _ in range(10):
        if not following.feed.is_in_step:
            following.told()
    assert following.asked == [0, *[1] * ASKINGS]
    assert (following.known, following.feed.gaps) == (1, 1)
    following.publish(6)
    assert following.known == 2


def test_numbers_that_begin_anew_are_another_engine() -> None:
    following = Following()
    following.told(0, 1, 2)
    following.publish(0)
    assert (following.known, following.asked) == (0, [0, 0])
    following.told(0)
    assert following.known == 1


def test_a_connection_that_breaks_leaves_nothing() -> None:
    following = Following()
    following.told(0, 1)
    following.feed.lose()
    assert (following.known, following.feed.is_in_step) == (0, False)
    following.publish(2)
    assert following.known == 0
    following.feed.begin()
    following.told(0)
    assert following.known == 1


def test_what_cannot_be_read_is_counted_and_passed_over() -> None:
    following = Following()
    following.told(0)
    following.feed.published(1, b"no batch")
    following.publish(2)
    assert (following.feed.unread, following.known, following.feed.is_in_step) == (1, 2, True)


def test_a_dropped_block_is_dropped_in_its_order() -> None:
    following = Following()
    following.feed.published(1, batch(removed(0)))
    following.told(0)
    assert following.known == 0
