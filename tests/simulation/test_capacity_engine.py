"""The model of an engine: what vLLM's scheduler promises, it does too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from simulation.capacity.blocks import Blocks
from simulation.capacity.engine import Engine
from simulation.capacity.prompts import Paths, Prompt, Segment
from simulation.capacity.sequence import Sequence
from simulation.capacity.speed import Speed, profile, profiles
from simulation.world.loop import START, VirtualLoop

SPEED = Speed(
    step_ms=10.0,
    prefill_token_ms=0.1,
    sequence_ms=1.0,
    max_num_seqs=4,
    max_num_batched_tokens=64,
    block_tokens=16,
    kv_blocks=64,
    max_model_len=1024,
)


class Heard:
    """A receiver that keeps when and what it was told."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.first: float | None = None
        self.done: float | None = None

    def on_first(self, sequence: Sequence) -> None:
        assert self.first is None
        self.first = self._loop.time() - START

    def on_progress(self, sequence: Sequence, made: int) -> None:
        assert 0 < made < sequence.tokens

    def on_done(self, sequence: Sequence) -> None:
        assert self.done is None
        assert sequence.made == sequence.tokens
        self.done = self._loop.time() - START


class Rig:
    """One engine on a loop of its own."""

    def __init__(self, speed: Speed) -> None:
        self.loop = VirtualLoop()
        self.engine = Engine("e", speed, self.loop)
        self.paths = Paths()

    def text(self, tokens: int) -> Segment:
        return Segment("user", self.paths.new(), tokens)

    def ask(self, *segments: Segment, output: int) -> tuple[Sequence, Heard]:
        heard = Heard(self.loop)
        sequence = Sequence(Prompt(segments, self.paths.new()), output, heard)
        self.engine.submit(sequence)
        return sequence, heard

    def run(self, seconds: float = 1000.0) -> None:
        self.loop.run(self.loop.time() + seconds)

    def is_sound(self) -> None:
        engine, blocks = self.engine, self.engine.blocks
        assert engine.running <= engine.speed.max_num_seqs
        assert blocks.held + blocks.idle + blocks.blank == blocks.total
        assert min(blocks.held, blocks.idle, blocks.blank) >= 0


@pytest.fixture
def rigs() -> Iterator[Callable[..., Rig]]:
    """Makes rigs, and closes their loops."""
    made: list[Rig] = []

    def make(**changes: object) -> Rig:
        made.append(Rig(SPEED.model_copy(update=changes)))
        return made[-1]

    yield make
    for rig in made:
        rig.loop.close()


def test_the_first_token_comes_with_the_step_that_ends_the_prompt(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    _, heard = rig.ask(rig.text(150), output=3)  # 64, 64, 22 tokens; then a step a token
    rig.run()
    assert heard.first == pytest.approx(0.010 * 3 + 0.0001 * 150 + 0.001)
    assert heard.done == pytest.approx(heard.first + 2 * 0.011)


def test_running_sequences_share_a_step(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    heard = [rig.ask(rig.text(8), output=5)[1] for _ in range(4)]
    rig.run()
    assert [each.done for each in heard] == pytest.approx([5 * 0.014 + 32 * 0.0001] * 4)
    assert rig.engine.work.steps == 5


def test_long_prompts_do_not_stop_those_that_are_being_answered(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    _, first = rig.ask(rig.text(16), output=30)
    rig.run(0.1)
    rig.ask(rig.text(640), output=1)
    rig.run()
    assert first.done is not None
    longest = rig.engine.gaps.percentile(1.0)
    assert longest is not None
    assert longest <= 0.001 * (10 + 2 + 6.4) + 1e-6


def test_context_makes_steps_longer(rigs: Callable[..., Rig]) -> None:
    rig = rigs(kilotoken_ms=1000.0)
    _, heard = rig.ask(rig.text(50), output=2)
    rig.run()
    assert heard.first is not None
    assert heard.done is not None
    assert heard.done - heard.first == pytest.approx(0.011 + 0.051)


def test_more_than_max_num_seqs_wait_their_turn(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    heard = [rig.ask(rig.text(8), output=10)[1] for _ in range(6)]
    rig.run(0.05)
    assert (rig.engine.running, rig.engine.waiting) == (4, 2)
    rig.run()
    assert max(each.done or 0.0 for each in heard[:4]) <= min(each.first or 0.0 for each in heard[4:])


def test_a_shared_beginning_is_computed_once(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    shared = rig.text(160)
    rig.ask(shared, rig.text(20), output=2)
    rig.run()
    second, _ = rig.ask(shared, rig.text(20), output=2)
    rig.run()
    assert second.cached == 160
    assert rig.engine.work.prefilled_tokens == 180 + 20


def test_a_prompt_that_is_there_to_the_last_token_is_not_all_taken_from_the_cache(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs()
    shared = rig.text(32)
    rig.ask(shared, output=1)
    rig.run()
    second, heard = rig.ask(shared, output=1)
    rig.run()
    assert second.cached == 16
    assert heard.done is not None


def test_an_answer_is_part_of_the_next_turn(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    question = rig.text(40)
    first, _ = rig.ask(question, output=41)
    rig.run()
    answer = Segment("assistant", first.prompt.answer_path, 41)
    second, _ = rig.ask(question, answer, rig.text(10), output=1)
    rig.run()
    assert second.cached == 80  # of 40 + 41 - 1 tokens: the last one was made and never read


def test_what_is_idle_for_longest_gives_way_first() -> None:
    blocks = Blocks(4)
    for key in (1, 2):
        assert blocks.take(2)
        assert blocks.name(key * 10)
        assert blocks.name(key * 10 + 1)
        blocks.release([key * 10, key * 10 + 1], 0)
    assert blocks.take(1)
    assert blocks.hits([20, 21]) == 2
    assert blocks.hits([10, 11]) == 1, "the end of the older one went, its beginning is still of use"


def test_who_came_last_gives_way_when_blocks_run_out_and_is_answered_all_the_same(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs(kv_blocks=8, max_model_len=128)
    heard = [rig.ask(rig.text(16), output=100)[1] for _ in range(3)]
    while not all(each.done for each in heard):
        rig.run(0.02)
        rig.is_sound()
        assert rig.loop.time() < START + 100
    assert rig.engine.work.preemptions > 0
    assert rig.engine.work.generated_tokens == 300
    assert rig.engine.blocks.held == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_and_goes_nothing_is_lost_and_no_bound_is_broken(
    seed: int, rigs: Callable[..., Rig]
) -> None:
    rng = Random(seed)
    tight = {"kv_blocks": 20, "max_model_len": 256, "prefix_caching": seed % 3 > 0}
    rig = rigs(**tight)
    shared = [rig.text(rng.randrange(1, 60)) for _ in range(3)]
    asked = []
    for _ in range(60):
        segments = [rng.choice(shared)] * rng.randrange(2) + [rig.text(rng.randrange(1, 90))]
        asked.append(rig.ask(*segments, output=rng.randrange(1, 80)))
        rig.run(rng.random() * 0.2)
        rig.is_sound()
        if rng.random() < 0.3:
            rig.engine.abort(rng.choice(asked)[0])
            rig.is_sound()
    rig.run()
    work = rig.engine.work
    assert all(sequence.is_over for sequence, _ in asked)
    assert work.finished == sum(heard.done is not None for _, heard in asked)
    assert work.finished + work.aborted == len(asked)
    assert work.generated_tokens == sum(sequence.made for sequence, _ in asked)
    assert rig.engine.blocks.held == 0
    assert (rig.engine.running, rig.engine.waiting) == (0, 0)


def test_an_aborted_sequence_leaves_its_room_at_once(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    sequence, heard = rig.ask(rig.text(100), output=50)
    rig.run(0.2)
    assert rig.engine.blocks.held > 0
    rig.engine.abort(sequence)
    assert rig.engine.blocks.held == 0
    assert rig.engine.running == 0
    rig.run()
    assert heard.done is None


@pytest.mark.parametrize("name", profiles())
def test_the_speeds_that_come_with_the_product_can_be_read(name: str) -> None:
    assert profile(name).step_seconds(0, 1, 0) > 0
