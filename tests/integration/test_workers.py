"""Several gateway processes as one service: killed, replaced and drained under load, counted and explained as one."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.product import FREE_PORT, Product, until, up
from tests.support.simulated import simulated

SEATS = 3
SECONDS = 30.0
MODEL = "simulated"
BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}


@contextmanager
def service(folder: Path, config: str = "", *engine: str, listen: str = FREE_PORT) -> Iterator[Product]:
    file = folder / "c.yaml"
    file.write_text("logging: {level: warning}\n" + config)
    arguments = ("--config", str(file), "--workers", str(SEATS), "--listen", listen)
    with (
        simulated(folder, *engine) as address,
        up(folder / "d", *arguments, "--upstream", address) as product,
    ):
        product.until(lambda: readiness(product)["status"] == "ready", seconds=SECONDS)
        yield product
    assert product.left() == []


@pytest.fixture
def folder(short_folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=short_folder))


def admin(product: Product) -> httpx.Client:
    token = (product.data / "admin.token").read_text().strip()
    return httpx.Client(
        base_url=product.metrics_url.removesuffix("/metrics"),
        headers={"authorization": f"Bearer {token}", "connection": "close"},
        timeout=SECONDS,
        trust_env=False,
    )


def readiness(product: Product) -> dict[str, Any]:
    with admin(product) as client:
        found: dict[str, Any] = client.get("/readyz").json()
        return found


def pids(product: Product) -> dict[int, int]:
    """Seat → process."""
    return {each["number"]: each["pid"] for each in readiness(product)["processes"] if each["pid"]}


def ask(product: Product, **how: Any) -> httpx.Response:
    """One request on a connection of its own."""
    with product.client() as client:
        return client.post("/chat/completions", json=BODY, **how)


def counted(product: Product) -> float:
    series = f'cascadia_requests_total{{model="{MODEL}",operation="chat",outcome="ok"}}'
    return product.metric(series)


class Load:
    """Clients that ask on and on, each on its own connections; what each request came to is counted."""

    def __init__(self, product: Product, clients: int, *, stream: bool) -> None:
        self.ends: Counter[str] = Counter()
        self.is_over = False
        self._product = product
        self._clients = clients
        self._stream = stream

    async def during(self, event: Callable[[], Awaitable[None]]) -> Counter[str]:
        """Ask until `event` is over, and for what was begun by then."""
        tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        await event()
        self.is_over = True
        await asyncio.gather(*tasks)
        return self.ends

    async def _client(self) -> None:
        # No repeats, and no pause: whatever is refused or broken is in what was counted.
        async with httpx.AsyncClient(
            base_url=self._product.url,
            headers={"authorization": f"Bearer {self._product.key}"},
            timeout=SECONDS,
            trust_env=False,
        ) as client:
            while not self.is_over:
                try:
                    self.ends[await self._one(client)] += 1
                except httpx.HTTPError as error:
                    self.ends[type(error).__name__] += 1

    async def _one(self, client: httpx.AsyncClient) -> str:
        answer = await client.post("/chat/completions", json={**BODY, "stream": self._stream})
        if answer.status_code != 200:
            return str(answer.status_code)
        if self._stream and not answer.text.endswith("data: [DONE]\n\n"):
            return "cut"
        return "ok"


def test_a_rolling_restart_fails_no_request(folder: Path) -> None:
    with service(folder, "", "--sim-ttft-ms", "2", "--sim-itl-ms", "10") as product:
        before = pids(product)

        async def replaced() -> None:
            await asyncio.sleep(0.3)
            product.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(
                product.until, lambda: product.said("all processes are new"), seconds=SECONDS
            )

        ends = asyncio.run(Load(product, 12, stream=True).during(replaced))
        assert set(ends) == {"ok"}, (ends, product.text)
        after = pids(product)
        assert set(after) == set(range(SEATS))
        assert not set(before.values()) & set(after.values())
        product.until(lambda: counted(product) == ends.total(), seconds=SECONDS)


def test_a_killed_process_takes_nothing_of_the_others_with_it(folder: Path) -> None:
    with service(folder, "", "--sim-ttft-ms", "2", "--sim-itl-ms", "20") as product:
        before = pids(product)

        async def killed() -> None:
            await asyncio.sleep(1.5)
            psutil.Process(before[1]).kill()
            await asyncio.to_thread(
                product.until,
                lambda: pids(product).get(1) not in {before[1], None},
                seconds=SECONDS,
                every=0.2,
            )

        ends = asyncio.run(Load(product, 12, stream=True).during(killed))
        broken = ends.total() - ends["ok"]
        assert 0 < broken <= 12, ends  # those of the killed process, and no other
        assert ends["ok"] > 50
        assert {seat: pid for seat, pid in pids(product).items() if seat != 1} == {0: before[0], 2: before[2]}

        def recorded() -> bool:
            with admin(product) as client:
                lines = client.get("/admin/usage", params={"since": "1d"}).json()["data"]
            return sum(line["requests"] for line in lines) == ends.total()

        product.until(recorded, seconds=SECONDS, every=0.5)


def test_one_order_reaches_all_also_those_that_come_later(folder: Path) -> None:
    with service(folder) as product, admin(product) as client:
        [replica] = client.get("/admin/replicas").json()["data"]
        assert replica["max_in_flight"] == 128  # the shares of all, as if there was one
        assert client.post(f"/admin/replicas/{replica['id']}/drain").json()["drained"]
        assert {ask(product).status_code for _ in range(12)} == {503}
        time.sleep(1.5)  # until what was said is in a note
        before = pids(product)
        psutil.Process(before[0]).kill()
        product.until(lambda: pids(product).get(0) not in {before[0], None}, seconds=SECONDS, every=0.2)
        assert {ask(product).status_code for _ in range(12)} == {503}
        assert not client.post(f"/admin/replicas/{replica['id']}/undrain").json()["drained"]
        assert {ask(product).status_code for _ in range(12)} == {200}
        hung = psutil.Process(pids(product)[1])
        hung.suspend()
        try:
            # What the kernel gave to its socket is taken from there by the others.
            assert {ask(product).status_code for _ in range(20)} == {200}
            product.until(
                lambda: "not heard of" in str(readiness(product)["reason"]), seconds=SECONDS, every=0.5
            )
        finally:
            hung.resume()


def test_a_killed_parent_leaves_nobody_and_what_runs_is_finished(folder: Path) -> None:
    path = folder / "api.sock"
    with service(folder, "", "--sim-itl-ms", "100", "--sim-tokens", "12", listen=f"unix:{path}") as product:
        ends: list[bool] = []

        def streamed() -> None:
            with product.client() as client:
                answer = client.post("/chat/completions", json={**BODY, "max_tokens": 12, "stream": True})
                ends.append(answer.text.endswith("data: [DONE]\n\n"))

        threads = [threading.Thread(target=streamed) for _ in range(6)]
        for thread in threads:
            thread.start()
        product.until(lambda: product.metric("cascadia_requests_in_flight") == len(threads), seconds=SECONDS)
        product.processes()
        product.process.kill()
        for thread in threads:
            thread.join(SECONDS)
        assert ends == [True] * len(threads)
        until(lambda: not product.left(), seconds=SECONDS, what=lambda: str(product.left()))


def test_limits_are_those_of_the_service(folder: Path) -> None:
    limits = "limits: {default: {team: {requests_per_minute: 7}}}\n"
    with service(folder, limits) as product:
        product.until(lambda: readiness(product)["limits"].get("counted") == "together", seconds=SECONDS)

        async def all_at_once() -> list[int]:
            async def one() -> int:
                return (await asyncio.to_thread(ask, product)).status_code

            return await asyncio.gather(*[one() for _ in range(30)])

        assert Counter(asyncio.run(all_at_once())) == {200: 7, 429: 23}


def test_all_are_asked_about_what_each_knows(folder: Path) -> None:
    with service(folder) as product, admin(product) as client:
        sent = [ask(product).headers["x-request-id"] for _ in range(40)]
        # Whoever answers: each knows of the others what they said within the last second.
        product.until(lambda: [counted(product) for _ in range(10)] == [len(sent)] * 10, seconds=5)
        for id_ in sent[::8]:
            [story] = client.get(f"/admin/requests/{id_}").json()["data"]
            assert story["outcome"] == "ok"
        assert client.get("/admin/requests/req-none").status_code == 404
        listed: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.get("/admin/requests", params={"limit": 7, **cursor}).json()
            listed += [each["id"] for each in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert listed == sent[::-1]
