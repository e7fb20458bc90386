"""What is kept of the last calls: bounded whatever clients send, and paged while calls come and go."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.call import Principal, Tier
from gateway.core.outcome import Attempt, Choice, End, Outcome, Trail, Usage
from gateway.explain import Record, Recorder
from gateway.explain.record import BASE_BYTES, kept, told


def end(request_id: str = "req-1", **changes: Any) -> End:
    trail = Trail(Tier.DEFAULT, 600.0, 1.0, None, 0.0, (), None, None)
    made = End(
        request_id, "chat", Principal("lab", "k1"), "m", False, Outcome.OK, 200, None, "engine-0", 1,
        Usage(3, 4, 1), 0.5, 1.0, 2.0, 3.0, "192.0.2.1", trail,
    )  # fmt: skip
    return made._replace(**changes)


def everything(_: Record) -> bool:
    return True


async def ids(recorder: Recorder) -> list[str]:
    return [record.id for _, record in (await recorder.page(everything, limit=10**6)).records]


async def test_the_newest_are_kept() -> None:
    recorder = Recorder(max_records=3, max_bytes=10**6)
    for number in range(10):
        recorder.on_end(end(str(number)))
    assert await ids(recorder) == ["9", "8", "7"]


async def test_the_oldest_go_when_the_bytes_are_too_many() -> None:
    recorder = Recorder(max_records=10**6, max_bytes=10 * (BASE_BYTES + 128))
    for number in range(1000):
        recorder.on_end(end(f"{number:0>128}"))
    assert len(recorder) == 10
    assert recorder.held_bytes <= 10 * (BASE_BYTES + 128)


async def test_none_are_kept_where_none_are_wanted() -> None:
    recorder = Recorder(max_records=0, max_bytes=10**6)
    recorder.on_end(end())
    assert (len(recorder), recorder.held_bytes) == (0, 0)


async def test_an_id_that_another_call_had_hides_neither() -> None:
    """A client may send any request id, that of another tenant's call too."""
    recorder = Recorder(max_records=10, max_bytes=10**6)
    recorder.on_end(end("same", principal=Principal("victim", "k1")))
    for _ in range(3):
        recorder.on_end(end("same", principal=Principal("other", "k2")))
    found = await recorder.page(lambda record: record.id == "same", limit=10)
    assert [record.tenant for _, record in found.records] == ["other", "other", "other", "victim"]


def test_a_record_is_told_as_it_was_kept() -> None:
    choice = Choice(("load", "prefix"), (("engine-0", 0.5, (0.1, 0.4)),), 16)
    former = (Attempt("engine-1", 0.6, 0.7, "busy", choice),)
    trail = Trail(Tier.PRIORITY, 600.5, 0.5, 0.6, 0.25, former, None, choice)
    record = told(kept(end(trail=trail)))
    assert (record.choice, record.former, record.tier, record.waited) == (choice, former, 2, 0.25)
    assert (record.prompt_tokens, record.completion_tokens, record.cached_tokens) == (3, 4, 1)
    assert (record.outcome, type(record.outcome), record.tenant, record.key) == ("ok", str, "lab", "k1")


def test_a_refused_call_without_a_caller_is_kept() -> None:
    refused = end(principal=None, usage=None, trail=None, outcome=Outcome.CLIENT_ERROR, dispatched=None)
    record = told(kept(refused))
    assert (record.tenant, record.key, record.prompt_tokens, record.former) == (None, None, None, ())


def test_the_garbage_collector_leaves_records_alone() -> None:
    record = kept(end(trail=end().trail._replace(choice=Choice((), (("engine-0", 0.5, ()),)))))  # type: ignore[union-attr]
    gc.collect()
    gc.collect()
    assert not gc.is_tracked(record)


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    limit=st.integers(1, 4),
    max_records=st.integers(1, 20),
)
async def test_pages_show_nothing_twice_while_calls_end(
    counts: list[int], limit: int, max_records: int
) -> None:
    """Between two pages some calls end. What was there when the first was read and is still there is shown once."""
    recorder = Recorder(max_records=max_records, max_bytes=10**9)
    made = 0
    for _ in range(8):
        recorder.on_end(end(str(made)))
        made += 1
    at_first = await ids(recorder)
    shown: list[str] = []
    before: int | None = None
    for count in [*counts, *[0] * 8]:
        page = await recorder.page(everything, limit=limit, before=before)
        shown += [record.id for _, record in page.records]
        if page.next is None:
            break
        before = page.next
        for _ in range(count):
            recorder.on_end(end(str(made)))
            made += 1
    assert len(shown) == len(set(shown))
    still_there = set(await ids(recorder))
    assert shown == [each for each in at_first if each in shown]
    assert {each for each in at_first if each in still_there} <= set(shown) or before is not None


@pytest.mark.parametrize("wanted", ["none", "all"])
async def test_many_records_are_looked_through_in_steps(wanted: str) -> None:
    recorder = Recorder(max_records=10_000, max_bytes=10**9)
    for _ in range(5000):
        recorder.on_end(end())
    page = await recorder.page(lambda _: wanted == "all", limit=100)
    assert len(page.records) == (100 if wanted == "all" else 0)
