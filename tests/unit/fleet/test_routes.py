"""Where the calls of a name go: in proportion to weights, sessions always to the same, and few move at a change."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.fleet.routes import Route, Routes, Share, Target, session_number

SESSIONS = [session_number("team", f"session {number}") for number in range(4000)]


def split(**weights: float) -> Route:
    return Route("chat", tuple(Share.of(model, weight) for model, weight in weights.items()))


def first(route: Route, number: int) -> str:
    return route.targets(number)[0].model


@pytest.mark.parametrize("weights", [{"a": 95, "b": 5}, {"a": 1, "b": 1, "c": 2}, {"a": 0.5, "b": 99.5}])
def test_sessions_and_draws_go_by_weight(weights) -> None:
    route, rng = split(**weights), random.Random(1)
    drawn = [rng.getrandbits(64) for _ in SESSIONS]
    for numbers in (SESSIONS, drawn):
        counts = Counter(first(route, number) for number in numbers)
        for model, weight in weights.items():
            expected = len(numbers) * weight / sum(weights.values())
            assert abs(counts[model] - expected) < 4 * expected**0.5 + 1


def test_a_change_of_one_weight_moves_only_its_own_sessions_and_no_more_than_it_has_to() -> None:
    before, after = split(a=90, b=5, c=5), split(a=90, b=15, c=5)
    moved = [
        (first(before, number), first(after, number))
        for number in SESSIONS
        if first(before, number) != first(after, number)
    ]
    assert {to for _, to in moved} == {"b"}
    assert abs(len(moved) / len(SESSIONS) - (15 / 110 - 5 / 100)) < 0.02


def test_a_model_that_goes_leaves_all_others_sessions_where_they_are() -> None:
    before, after = split(a=60, b=30, c=10), split(a=60, b=30, c=0)
    for number in SESSIONS:
        if first(before, number) != "c":
            assert first(after, number) == first(before, number)


def test_who_is_asked_next_are_the_others_but_none_without_weight() -> None:
    route = split(a=1, b=1, c=0)
    for number in SESSIONS[:50]:
        targets = route.targets(number)
        assert sorted(target.model for target in targets) == ["a", "b"]
        assert {target.public for target in targets} == {"chat"}


def test_sessions_of_two_tenants_are_two_whatever_their_names() -> None:
    assert session_number("a", "bc") != session_number("ab", "c")
    assert session_number("a", "s") == session_number("a", "s")


def test_a_fallback_that_is_split_is_asked_by_its_own_weights() -> None:
    chat, other = (
        Route("chat", (), ("other", "third")),
        Route("other", (Share.of("x", 1), Share.of("y", 0)), ("chat",)),
    )
    routes = Routes({"chat": chat, "other": other})
    assert list(routes.fallbacks(chat, 1)) == [Target("x", "other"), Target("third", "third")]
