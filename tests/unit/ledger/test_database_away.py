"""A Postgres server that goes away under load and comes back: nothing lost, nothing doubled, nothing started again (F35)."""

import asyncio
import random
import time
from collections import Counter

from sqlalchemy import text

from gateway.core.errors import StoreUnavailable
from gateway.ledger import Ledger
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.drain import Drain
from gateway.ledger.rows import Kept
from gateway.store import Database
from tests.support.calls import call
from tests.support.usage import AT, end


async def moved(drain):
    try:
        await drain.step()
    except StoreUnavailable:
        return False
    return True


async def test_a_server_that_goes_away_and_comes_back_has_every_row_once(
    postgres_server, make_spool, committed
):
    database = Database(await postgres_server.create("away"))
    spool = make_spool(segment_bytes=4_000)
    ledger = Ledger(spool, now=lambda: AT, rng=random.Random(1))
    clerk = Clerk(Task(str(spool.folder), database.place, Kept(864_000, 2_592_000)))
    drain = Drain(spool, ledger, clerk, clock=time.monotonic)
    sent = []

    def work():
        for _ in range(50):
            sent.append(f"req-{len(sent)}")
            ledger.ended(ledger.began(call(id=sent[-1]), "e"), end())
        committed(spool)

    try:
        for _ in range(2):
            work()
            assert await moved(drain)
            work()
            moving = asyncio.create_task(moved(drain))
            await asyncio.sleep(0)  # its statements are under way, or not yet
            await asyncio.to_thread(postgres_server.stop)
            await moving
            for _ in range(3):
                work()
                assert not await moved(drain)
            await asyncio.to_thread(postgres_server.start)
            work()
            assert await moved(drain)
        async with database.read() as connection:
            rows = Counter(
                request for (request,) in await connection.execute(text('SELECT request_id FROM "usage"'))
            )
            summed = (await connection.execute(text("SELECT sum(requests) FROM usage_daily"))).scalar()
        assert set(rows) == set(sent)
        assert max(rows.values()) == 1
        assert summed == len(sent)
    finally:
        await clerk.close()
        await database.close()


async def test_connections_that_the_server_ends_cost_nothing(postgres_server, make_spool, committed):
    database = Database(await postgres_server.create("ended"))
    spool = make_spool()
    ledger = Ledger(spool, now=lambda: AT, rng=random.Random(1))
    clerk = Clerk(Task(str(spool.folder), database.place, Kept(864_000, 2_592_000)))
    drain = Drain(spool, ledger, clerk, clock=time.monotonic)
    killer = Database(database.place)
    try:
        for _ in range(5):
            ledger.ended(ledger.began(call(), "e"), end())
            committed(spool)
            async with killer.read() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = 'ended' AND pid <> pg_backend_pid()"
                    )
                )
            if not await moved(drain):
                assert await moved(drain)
        async with database.read() as connection:
            assert (await connection.execute(text('SELECT count(*) FROM "usage"'))).scalar() == 5
    finally:
        await clerk.close()
        await database.close()
        await killer.close()
