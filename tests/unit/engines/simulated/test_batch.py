import random

from engines.simulated.answers import Answer
from engines.simulated.batch import Batch, Sequence
from engines.simulated.metering import Metering
from engines.simulated.script import Script
from tests.unit.engines.simulated.test_ticker import FakeTimers


class Heard:
    """A receiver that writes down what it gets."""

    def __init__(self, timers: FakeTimers) -> None:
        self.tokens: list[tuple[int, int, int]] = []
        self._timers = timers

    def on_tokens(self, sequence: Sequence, start: int, end: int) -> None:
        self.tokens.append((round((self._timers.now - 100) * 1000), start, end))


class World:
    def __init__(self, max_running: int = 2) -> None:
        self.timers = FakeTimers()
        self.metering = Metering()
        self.batch = Batch(self.timers, self.metering, random.Random(1), max_running=max_running)

    def sequence(
        self, *, tokens: int = 3, interval: int = 1, factor: float = 1.0, **pace: float
    ) -> tuple[Sequence, Heard]:
        heard = Heard(self.timers)
        pieces = ["x"] * tokens
        script = Script(**{"ttft_ms": 50, "itl_ms": 10, **pace})
        made = Sequence(
            heard, 0, Answer(pieces, pieces, "length"), prompt_tokens=7, script=script, first_size=1,
            interval=interval, factor=factor, arrived_at=self.timers.now,
        )  # fmt: skip
        self.batch.submit(made)
        return made, heard


def test_the_first_token_comes_after_its_time_and_the_others_in_step():
    world = World()
    _, heard = world.sequence(tokens=4)
    world.timers.pass_until(101)
    assert [(start, end) for _, start, end in heard.tokens] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    times = [at for at, _, _ in heard.tokens]
    assert times[0] in {50, 51}
    assert times[-1] - times[0] in {29, 30, 31, 32, 33}


def test_several_tokens_make_one_event_but_the_first_comes_alone():
    world = World()
    _, heard = world.sequence(tokens=8, interval=3)
    world.timers.pass_until(101)
    assert [(start, end) for _, start, end in heard.tokens] == [(0, 1), (1, 4), (4, 7), (7, 8)]


def test_a_factor_makes_it_slower():
    world = World()
    _, heard = world.sequence(tokens=1, factor=10)
    world.timers.pass_until(101)
    assert heard.tokens[0][0] in {500, 501}


def test_who_does_not_fit_waits_and_starts_when_another_is_done():
    world = World(max_running=1)
    world.sequence(tokens=1)
    _, second = world.sequence(tokens=1)
    assert repr(world.batch) == "<Batch: 1 running, 1 waiting>"
    world.timers.pass_until(102)
    assert second.tokens[0][0] in {100, 101, 102}
    assert repr(world.batch) == "<Batch: 0 running, 0 waiting>"


def test_an_aborted_sequence_gives_its_room_to_the_next_at_once():
    world = World(max_running=1)
    first, heard = world.sequence()
    second, _ = world.sequence()
    world.batch.abort(first)
    assert second.admitted_at == 100
    assert repr(world.batch) == "<Batch: 1 running, 0 waiting>"
    world.timers.pass_until(102)
    assert heard.tokens == []


def test_aborting_twice_or_after_the_end_changes_nothing():
    world = World()
    first, _ = world.sequence(tokens=1)
    world.timers.pass_until(101)
    world.batch.abort(first)
    second, _ = world.sequence()
    world.batch.abort(second)
    world.batch.abort(second)
    assert (world.batch.running, world.batch.kv_tokens) == (0, 0)


def test_a_waiting_sequence_that_is_aborted_never_starts():
    world = World(max_running=1)
    world.sequence(tokens=1)
    waiting, heard = world.sequence()
    world.batch.abort(waiting)
    world.timers.pass_until(102)
    assert heard.tokens == []
    assert world.metering.prompt_tokens == 7


def test_a_parked_sequence_makes_no_tokens_and_holds_its_room():
    world = World()
    parked, heard = world.sequence()
    world.batch.park(parked)
    world.timers.pass_until(102)
    assert heard.tokens == []
    assert world.batch.running == 1
    world.batch.abort(parked)
    assert world.batch.running == 0


def test_the_counters_follow():
    world = World()
    world.sequence(tokens=3)
    world.sequence(tokens=2)
    world.timers.pass_until(102)
    page = world.metering.page("m", world.batch).decode()
    assert 'vllm:generation_tokens_total{engine="0",model_name="m"} 5.0' in page
    assert 'vllm:prompt_tokens_total{engine="0",model_name="m"} 14.0' in page
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 2.0' in page
    assert 'vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 3.0' in page
    assert 'vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 5.0' in page
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",model_name="m",le="0.04"} 0.0' in page
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",model_name="m",le="0.06"} 2.0' in page
