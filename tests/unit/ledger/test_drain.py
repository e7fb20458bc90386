"""Each record becomes one row, whenever the database goes away and whenever the process dies."""

import asyncio
import json
import random

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import Outcome, Usage
from gateway.ledger import Ledger, segments
from gateway.ledger.cost import Price
from gateway.ledger.drain import Drain
from gateway.ledger.moving import REFUSED
from gateway.ledger.records import UNKNOWN, Progress, encode, unknown
from tests.support.calls import call
from tests.support.usage import AT, Here, Rows, began, end, ended


def make(spool, rows):
    ledger = Ledger(spool, now=lambda: AT, rng=random.Random(1))
    return ledger, Drain(
        spool, ledger, Here(spool.folder, rows), clock=lambda: asyncio.get_running_loop().time()
    )


@pytest.fixture
def rows():
    return Rows()


async def test_a_call_becomes_one_row(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    record = ledger.began(call("research"), "engine-0")
    committed(spool)
    await drain.step()
    assert rows.kept == {}
    ledger.ended(record, end())
    committed(spool)
    await drain.step()
    await drain.step()
    (row,) = rows.kept.values()
    assert (row.who.team, row.who.request_id) == ("research", "id")
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 1, 3)
    assert (row.queue_ms, row.first_content_ms, row.total_ms, row.estimated) == (500, 1000, 2000, False)


async def test_calls_with_one_request_id_are_two_rows(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    for _ in range(2):
        ledger.ended(ledger.began(call(), "engine-0"), end())
    committed(spool)
    await drain.step()
    assert len(rows.kept) == 2


async def test_a_stream_without_usage_is_estimated_from_what_was_delivered(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    record = ledger.began(call(body=b"x" * 400), "engine-0")
    ledger.ended(record, end(usage=None, delivered=12, outcome=Outcome.CLIENT_GONE))
    committed(spool)
    await drain.step()
    (row,) = rows.kept.values()
    assert (row.prompt_tokens, row.completion_tokens, row.estimated) == (100, 12, True)


async def test_what_the_engine_refused_costs_nothing_and_is_no_estimate(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    ledger.ended(ledger.began(call(), "engine-0"), end(usage=None, outcome=Outcome.CLIENT_ERROR, status=400))
    committed(spool)
    await drain.step()
    (row,) = rows.kept.values()
    assert (row.prompt_tokens, row.completion_tokens, row.estimated) == (0, 0, False)


async def test_a_request_for_more_tokens_than_can_be_written_down_is_written_down(
    make_spool, committed, rows
):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    record = ledger.began(call(most_tokens=2**53 - 1, answers=8192), "engine-0")
    ledger.ended(record, end())
    committed(spool)
    await drain.step()
    assert (record.began.most_tokens, len(rows.kept), ledger.open) == (2**53, 1, 0)


async def test_usage_below_zero_counts_as_none(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    ledger.ended(ledger.began(call(), "engine-0"), end(usage=Usage(-5, -1, -2)))
    committed(spool)
    await drain.step()
    (row,) = rows.kept.values()
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (0, 0, 0)


@pytest.mark.parametrize("how", ["away", "lies"])
async def test_nothing_is_lost_or_doubled_while_the_database_is_away(make_spool, committed, rows, how):
    spool = make_spool(segment_bytes=1_000)
    ledger, drain = make(spool, rows)
    setattr(rows, how, 3)
    for number in range(30):
        ledger.ended(ledger.began(call(), "engine-0"), end())
        committed(spool)
        if number % 5 == 0:
            try:
                await drain.step()
            except StoreUnavailable:
                assert spool.size > 0
    await drain.step()
    assert len(rows.kept) == 30
    assert len(segments.numbers(spool.folder)) == 1


async def test_segments_go_only_once_committed_and_what_is_open_in_them_stays(make_spool, committed, rows):
    spool = make_spool(segment_bytes=500)
    ledger, drain = make(spool, rows)
    long = ledger.began(call(id="long"), "engine-0")
    ledger.progressed(long, 5)
    for _ in range(20):
        ledger.ended(ledger.began(call(), "engine-0"), end())
        committed(spool)
        await drain.step()
    left = segments.numbers(spool.folder)
    assert left[0] > 1
    records = [each for number in left for each in segments.read(spool.folder, number).records]
    assert long.began in records
    assert Progress(long.began.id, 5) in records


async def test_a_killed_process_leaves_one_unknown_row_for_each_open_call(make_spool, committed, rows):
    dead = make_spool()
    for record in (
        began("whole"),
        ended("whole"),
        began("streaming", prompt_estimate=20),
        Progress("streaming", 3),
        Progress("streaming", 8),
        began("silent"),
    ):
        dead.append(encode(record))
    dead.close()
    dead.release()
    spool = make_spool()
    ledger, drain = make(spool, rows)
    rows.lies = 1  # dies once more, in the middle of it
    with pytest.raises(StoreUnavailable):
        await drain.step()
    ledger.ended(ledger.began(call(), "engine-0"), end())
    committed(spool)
    await drain.step()
    assert len(rows.kept) == 4
    assert rows.kept["whole"].outcome == "ok"
    streaming, silent = rows.kept["streaming"], rows.kept["silent"]
    assert (streaming.outcome, streaming.prompt_tokens, streaming.completion_tokens) == (UNKNOWN, 20, 8)
    assert (silent.outcome, silent.prompt_tokens, silent.completion_tokens) == (UNKNOWN, 0, 0)
    assert streaming.estimated
    assert spool.previous == {}


async def test_a_good_end_leaves_no_files(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    ledger.ended(ledger.began(call(), "engine-0"), end())
    spool.close()
    await drain.finish()
    assert len(rows.kept) == 1
    assert segments.numbers(spool.folder) == []


async def test_an_end_without_the_database_keeps_the_files(make_spool, committed, rows):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    ledger.ended(ledger.began(call(), "engine-0"), end())
    spool.close()
    rows.away = 1
    await drain.finish()
    spool.release()
    again = make_spool()
    _, drain = make(again, rows)
    await drain.step()
    assert len(rows.kept) == 1


async def test_a_row_that_the_database_does_not_take_is_set_aside_and_the_rest_moves_on(
    make_spool, committed, rows
):
    spool = make_spool()
    ledger, drain = make(spool, rows)
    rows.is_bad = lambda row: row.who.request_id in {"bad-0", "bad-7"}
    for number in range(10):
        ledger.ended(ledger.began(call(id=f"bad-{number}"), "engine-0"), end())
    committed(spool)
    await drain.step()
    assert (len(rows.kept), drain.moved, drain.refused) == (8, 8, 2)
    lines = (spool.folder / REFUSED).read_text().splitlines()
    assert [json.loads(line)["record"][3][0] for line in lines] == ["bad-0", "bad-7"]
    await drain.step()
    assert drain.refused == 2  # it is not tried for ever


async def test_a_call_costs_what_its_model_does_and_nothing_is_said_of_one_without_a_price(
    make_spool, committed, rows
):
    spool = make_spool()
    price = Price(1000, 100, 2500)
    ledger = Ledger(spool, now=lambda: AT, rng=random.Random(1), prices={"m": price})
    drain = Drain(spool, ledger, Here(spool.folder, rows), clock=lambda: 0.0)
    for model in ("m", "other"):
        ledger.ended(ledger.began(call(model=model), "engine-0"), end(usage=Usage(7, 3, 1)))
    committed(spool)
    await drain.step()
    assert [row.cost for row in rows.kept.values()] == [14, None]  # 6 + 0.1 + 7.5, rounded up


def test_a_call_of_a_killed_gateway_costs_what_is_known_of_it():
    price = Price(1000, 100, 2500)
    assert unknown(began("a", prompt_estimate=20), 2, price).cost == 25
    assert unknown(began("a", prompt_estimate=20), 0, price).cost == 0
