"""Many processes at one limit, and what they were let: `python -m tests.support.hammer --processes 16 --rounds 50`.

Each round draws limits, arrivals, cancels and refunds from its seed. Every process writes down what it was given; whether
that was too much is judged from their notes alone, on the machine's one monotonic clock. `--naive` counts as one must
not, by looking first and adding then: rounds of it have to fail.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import redis

from gateway.ratelimit.base import Counters, Pending, Refused, Rule, Taken, Unit
from gateway.ratelimit.shared.plan import BORN
from tests.support import valkey

MOST_HOLD_S = 0.03
UP_S = 60.0


class Given(NamedTuple):
    """What one call was let: between `sent` and `answered`, held until `ended`."""

    sent: float
    answered: float
    ended: float
    used: tuple[int, ...]


@dataclass(frozen=True)
class Round:
    """One round, drawn from its seed."""

    seed: int
    processes: int
    seconds: float
    naive: bool = False

    def rules(self) -> list[Rule]:
        """Requests and tokens in a short window, so that its edges pass often, and slots."""
        rng = random.Random(self.seed)
        period = 1000.0 if self.naive else rng.choice([0.25, 0.5, 1.0])
        tight, loose = rng.randrange(3), 10**7
        limits = [
            choices if index == tight else [loose, *choices[-1:]]
            for index, choices in enumerate(([1, 7, 40, 300], [500, 5_000, 60_000], [1, 3, 10]))
        ]
        rules = [
            Rule(f"r{self.seed}|requests", Unit.REQUESTS, rng.choice(limits[0]), period),
            Rule(f"r{self.seed}|tokens", Unit.TOKENS, rng.choice(limits[1]), period),
            Rule(f"r{self.seed}|slots", Unit.SLOTS, rng.choice(limits[2]), None),
        ]
        return [rules[0]._replace(limit=100)] if self.naive else rules


class LookFirst:
    """The mistake: looks whether there is room, waits its turn, then counts."""

    def __init__(self, path: Path) -> None:
        self._client = redis.Redis(unix_socket_path=str(path))

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: Any) -> Pending | Refused:
        """Two steps, between which others take theirs."""
        for rule, amount in zip(rules, amounts, strict=True):
            if int(self._client.get(rule.key) or 0) + amount > rule.limit:
                return Refused(rule, 1.0)

        def add() -> None:
            for rule, amount in zip(rules, amounts, strict=True):
                self._client.incrby(rule.key, amount)
            taker.taken(Taken([0] * len(rules), lambda _: None))

        return Pending(asyncio.get_running_loop().call_soon(add).cancel)

    def seed(self, rule: Rule, used: int) -> None:
        """Nothing to go on from."""


class Caller:
    """One call from its taking to its end."""

    def __init__(self, worker: Worker, amounts: Sequence[int]) -> None:
        self._worker = worker
        self._amounts = amounts
        self._sent = time.monotonic()
        worker.running += 1

    def begin(self, counters: Counters, rules: Sequence[Rule]) -> None:
        answer = counters.take(rules, self._amounts, self)
        if isinstance(answer, Taken):
            self.taken(answer)
        elif not isinstance(answer, Pending):
            self.refused(answer)
        elif self._worker.rng.random() < 0.1:
            answer.cancel()
            self._worker.running -= 1

    def taken(self, taken: Taken) -> None:
        answered, rng = time.monotonic(), self._worker.rng
        share = rng.choice([0.0, 0.5, 1.0, 1.0])
        used = [1, *(round(amount * share) for amount in self._amounts[1:])][: len(self._amounts)]

        def end() -> None:
            ended = time.monotonic()
            taken.settle(used)
            self._worker.given.append(Given(self._sent, answered, ended, tuple(used)))
            self._worker.running -= 1

        asyncio.get_running_loop().call_later(rng.random() * MOST_HOLD_S, end)

    def refused(self, _: Any) -> None:
        self._worker.running -= 1


class Worker:
    """One process of a round."""

    def __init__(self, round_: Round, number: int) -> None:
        self.rng = random.Random(f"{round_.seed}-{number}")
        self.given: list[Given] = []
        self.running = 0
        self._round = round_

    async def hammer(self, counters: Counters) -> None:
        rules = self._round.rules()
        ends = time.monotonic() + self._round.seconds
        while time.monotonic() < ends:
            for _ in range(self.rng.choice([1, 1, 2, 8])):
                Caller(self, [1, self.rng.randint(1, 400), 1][: len(rules)]).begin(counters, rules)
            await asyncio.sleep(self.rng.expovariate(80.0))
        await valkey.until(lambda: self.running == 0)


async def _work(rounds: Sequence[Round], number: int, path: Path, notes: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        counters: Counters
        if rounds[0].naive:
            counters = LookFirst(path)
        else:
            counters = shared = await stack.enter_async_context(valkey.shared(path, name=f"g{number}"))
            await valkey.until(lambda: shared.state().gateways == rounds[0].processes, UP_S)
        for round_ in rounds:
            await _meet(notes, f"{round_.seed}.begin", number, round_.processes)
            worker = Worker(round_, number)
            await worker.hammer(counters)
            stock = [0, 0] if round_.naive else [shared.state().from_stock, shared.state().alone]
            (notes / f"{round_.seed}-{number}.json").write_text(json.dumps([worker.given, stock]))
        await _meet(notes, "end", number, rounds[0].processes)  # who leaves early changes the others' shares


async def _meet(notes: Path, name: str, number: int, processes: int) -> None:
    """Wait until all processes are here."""
    (notes / f"{number}.{name}").touch()
    await valkey.until(lambda: len(list(notes.glob(f"*.{name}"))) == processes, UP_S)


def _process(rounds: Sequence[Round], number: int, path: str, notes: str) -> None:
    asyncio.run(_work(rounds, number, Path(path), Path(notes)))


@dataclass(frozen=True)
class Verdict:
    """The most that was let through at once, as a share of the limit, for each rule."""

    round: Round
    calls: int
    worst: tuple[float, ...]
    from_stock: int
    alone: int

    @property
    def is_over(self) -> bool:
        return any(each > 1.0 for each in self.worst)


def judge(rules: Sequence[Rule], given: Sequence[Given]) -> tuple[float, ...]:
    """The largest sum of each rule in any window, or at any moment, over its limit.

    Only what lies wholly within a window counts for it: when within `sent` and `answered` a call was counted is not known.
    """
    return tuple(
        (
            _most_at_once(given)
            if rule.period is None
            else _most_in_window(given, index, float(rule.period or 0))
        )
        / rule.limit
        for index, rule in enumerate(rules)
    )


def _most_at_once(given: Sequence[Given]) -> int:
    changes = sorted([(each.answered, 1) for each in given] + [(each.ended, -1) for each in given])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _most_in_window(given: Sequence[Given], index: int, period: float) -> int:
    ordered = sorted(given)
    most = 0
    for first, begin in enumerate(ordered):
        until, total = begin.sent + period, 0
        for each in ordered[first:]:
            if each.sent > until:
                break
            if each.answered <= until:
                total += each.used[index]
        most = max(most, total)
    return most


def play(rounds: Sequence[Round], server: valkey.Server) -> Iterator[Verdict]:
    """Run rounds by the same processes, and judge each."""
    with tempfile.TemporaryDirectory(prefix="cascadia-hammer-") as notes:
        context = multiprocessing.get_context("spawn")
        with server.client() as client:
            client.set(BORN, 0)  # a server that has long heard from everybody
        processes = [
            context.Process(target=_process, args=(rounds, number, str(server.path), notes))
            for number in range(rounds[0].processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(UP_S + sum(each.seconds + 10.0 for each in rounds))
            assert process.exitcode == 0, f"a process ended with {process.exitcode}"
        stock = alone = 0
        for round_ in rounds:
            found = [json.loads(file.read_text()) for file in Path(notes).glob(f"{round_.seed}-*.json")]
            given = [
                Given(sent, answered, ended, tuple(used))
                for notes_, _ in found
                for sent, answered, ended, used in notes_
            ]
            before = stock, alone
            stock, alone = (sum(each[1][index] for each in found) for index in (0, 1))
            yield Verdict(
                round_, len(given), judge(round_.rules(), given), stock - before[0], alone - before[1]
            )


def main(arguments: Sequence[str]) -> int:
    """Play rounds, say what each let through; ends with 1 when one was over a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--naive", action="store_true")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.seed, chosen.seed + chosen.rounds)
    rounds = [Round(seed, chosen.processes, chosen.seconds, chosen.naive) for seed in seeds]
    over = 0
    with valkey.server() as server:
        for verdict in play(rounds, server):
            over += verdict.is_over
            worst = " ".join(f"{each:.2f}" for each in verdict.worst)
            print(
                f"seed {verdict.round.seed}: {verdict.calls} calls, {verdict.from_stock} from stock, {verdict.alone} alone, "
                f"most of a limit: {worst}{'  OVER' if verdict.is_over else ''}"
            )
    print(f"{over} of {chosen.rounds} rounds over a limit")
    return 1 if over else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
