"""Pages over several processes show every call once, newest first."""

import random

import pytest

from gateway.siblings.pages import Part, page_of, parted


def served(calls, cursor, limit):
    """What a process answers: its `calls` are (place, ended), oldest first."""
    before = None if cursor is None else int(cursor)
    found = [each for each in reversed(calls) if before is None or each[0] < before]
    shown = found[:limit]
    return Part(
        [{"at": ended, "duration_ms": 0.0, "place": place} for place, ended in shown],
        [place for place, _ in shown],
        str(shown[-1][0]) if len(found) > limit else None,
    )


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_shown_twice_or_passed_over_while_calls_come(seed):
    rng = random.Random(seed)
    names = ["0-10", "1-11", "2-12"][: rng.randint(1, 3)]
    calls = {name: [] for name in names}
    at = 0.0

    def more(count):
        nonlocal at
        for _ in range(count):
            at += rng.random()
            mine = calls[rng.choice(names)]
            mine.append((len(mine), at))

    more(rng.randint(0, 30))
    wanted = sorted(((ended, name) for name in names for _, ended in calls[name]), reverse=True)
    shown, cursor = [], None
    for _ in range(100):
        limit = rng.randint(1, 7)
        cursors = dict.fromkeys(names) if cursor is None else parted(cursor)
        parts = {name: served(calls[name], each, limit) for name, each in cursors.items()}
        stories, cursor = page_of(parts, limit)
        assert len(stories) <= limit
        shown += [story["at"] for story in stories]
        if cursor is None:
            break
        more(rng.randint(0, 3))
    assert shown == [ended for ended, _ in wanted]


@pytest.mark.parametrize("text", ["", "7", "0-1.", "0-1.x", ".7", "0-1.7_", "0-1.-7"])
def test_a_cursor_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="not a cursor"):
        parted(text)
