"""What a policy is told of a call, and what it makes of it."""

from __future__ import annotations

import json
from pathlib import Path

from engines.bundled import model_path
from gateway.balancer.errors import ENOUGH, Errors
from gateway.balancer.precise.knowledge import Knowledge
from gateway.balancer.precise.reader import load
from gateway.balancer.scored import TERMS, Scored
from gateway.balancer.work import Work
from gateway.core.call import Call, Principal
from gateway.core.outcome import Usage
from gateway.fleet.cached import Followers
from gateway.fleet.cached.blocks import SOON_SECONDS
from gateway.fleet.cached.events import read_batch
from gateway.fleet.cached.follower import Follower
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Published, Sighting, TcpAddress, UnixAddress
from gateway.fleet.replica import Replica
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.publishing import batch, stored

SIZE = 16
STORY = "Tell me of the capital of Norway, and of all that it has to show to a traveller who comes by sea."


class Silent(Follower):
    """Follows nothing: the test says what the engine has."""

    def start(self) -> None:
        self.is_connected = True

    def close(self) -> None:
        self.is_connected = False


class World:
    """Two replicas whose engines publish, and who knows of it."""

    def __init__(self, *, models: tuple[tuple[str, str], ...] = (("m", "m"),)) -> None:
        where = Published(UnixAddress("/e"), UnixAddress("/r"), str(model_path()))
        self.clock = Clock(0.0)
        self.catalog = Catalog()
        self.catalog.publish(
            "test",
            [
                Sighting(
                    Endpoint(name, TcpAddress("h", 1), "vllm", models, None, 50, 1.0, where), Condition.READY
                )
                for name in ("r0", "r1")
            ],
        )
        self.followers = Followers(self.catalog, Silent)
        self.followers.sweep()
        self.knowledge = Knowledge(
            self.followers, lambda work, done: done(work()), self._salt, clock=self.clock
        )
        self.knowledge.prepare()
        self.replicas = list(self.catalog.replicas())

    @staticmethod
    def _salt(principal: Principal, engine: str) -> str | None:
        assert engine == "vllm"
        return None if principal.tenant == "open" else f"salt of {principal.tenant}"

    def stores(self, at: int, asked: Call, *, tenant: str = "t", adapter: str | None = None) -> int:
        """The engine stores the prompt of `asked`. How many tokens it has."""
        reader = load(Path(model_path()), lambda work, done: done(work()))
        assert not isinstance(reader, str)
        text = reader.text(_asked(asked))
        assert text is not None
        (ids,) = reader._tokens._encode([text])
        whole = ids[: len(ids) // SIZE * SIZE]
        salt = None if tenant == "open" else f"salt of {tenant}"
        event = stored(list(range(1, len(whole) // SIZE + 1)), whole, salt=salt, adapter=adapter, size=SIZE)
        blocks = self.followers.of(self.replicas[at])
        assert blocks is not None
        blocks.take(read_batch(batch(event)))
        return len(ids)

    def cached(self, asked: Call) -> list[int | None]:
        told = self.knowledge.look(asked, self.replicas)
        assert told is not None
        return [told.cached(replica) for replica in self.replicas]


def _asked(asked: Call):
    from gateway.balancer.precise.asked import read

    found = read(asked.envelope.body)
    assert found is not None
    return found


def about(text: str, tenant: str = "t", **fields: object) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return call(tenant, body=json.dumps(body).encode())


def test_the_whole_blocks_that_are_the_same_are_in_the_cache() -> None:
    world = World()
    size = world.stores(0, about(STORY))
    assert world.cached(about(STORY)) == [(size - 1) // SIZE * SIZE, 0]
    partly = world.cached(about(STORY[:60] + " Something else."))[0]
    assert partly is not None
    assert 0 < partly < (size - 1) // SIZE * SIZE


def test_one_tenants_prompts_are_not_anothers() -> None:
    world = World()
    world.stores(0, about(STORY))
    assert world.cached(about(STORY, "other")) == world.cached(about(STORY, "open")) == [0, 0]


def test_a_salt_of_the_callers_own_counts_where_the_gateway_gives_none() -> None:
    world = World()
    world.stores(0, about(STORY), tenant="own")
    asked = about(STORY, "open", cache_salt="salt of own")
    assert world.cached(asked)[0]
    assert world.cached(about(STORY, "open")) == [0, 0]


def test_an_adapters_blocks_are_its_own() -> None:
    world = World(models=(("m", "fine"), ("n", "base")))
    world.stores(0, about(STORY), adapter="fine")
    assert world.cached(about(STORY))[0]
    assert world.cached(about(STORY)._replace(model="n")) == [0, 0]


def test_nothing_is_said_of_an_engine_that_is_not_followed() -> None:
    world = World()
    world.stores(0, about(STORY))
    for follower in world.followers:
        follower.close()
    assert world.cached(about(STORY)) == [None, None]


def test_nothing_is_said_of_a_prompt_that_cannot_be_read() -> None:
    world = World()
    assert world.knowledge.look(about(STORY, documents=[{"text": "a"}]), world.replicas) is None
    assert world.knowledge.look(call(body=b"[]"), world.replicas) is None


def test_a_policy_goes_where_an_engine_says_it_has_the_prompt() -> None:
    world = World()
    size = world.stores(1, about(STORY))
    policy = Scored(world.knowledge)
    for _ in range(4):
        assert policy.choose(world.replicas, about(STORY)) is world.replicas[1]
    assert policy.choice is not None
    assert policy.choice.cached_tokens == (size - 1) // SIZE * SIZE
    prefill = [terms[TERMS.index("prefill")] for _, _, terms in policy.choice.candidates]
    assert prefill == [size, size - policy.choice.cached_tokens]
    work = policy.took(world.replicas[1], about(STORY))
    assert work.told is None  # another call than the one that was looked at
    asked = about(STORY)
    policy.choose(world.replicas, asked)
    work = policy.took(world.replicas[1], asked)
    assert (work.told, work.prefill) == ((size - 1) // SIZE * SIZE, size - (size - 1) // SIZE * SIZE)


def test_calls_that_begin_alike_go_together_before_the_engine_says_anything() -> None:
    world = World()
    world.stores(
        0, about("Something else that is long enough to be a block of the size that they have here.")
    )
    world.stores(
        1, about("Something else that is long enough to be a block of the size that they have here.")
    )
    policy = Scored(world.knowledge)
    asked = about(STORY)
    first = policy.choose(world.replicas, asked)
    assert first is not None
    assert policy.took(first, asked).told == 0
    for _ in range(3):
        again = about(STORY)
        assert policy.choose(world.replicas, again) is first
        assert (policy.took(first, again).told or 0) > 0
    world.clock.now += SOON_SECONDS + 0.1
    assert world.cached(about(STORY)) == [0, 0]


def test_it_goes_by_guesses_when_those_are_nearer_and_back() -> None:
    world = World()
    world.stores(1, about(STORY))
    policy = Scored(world.knowledge)
    policy.choose(world.replicas, about(STORY))
    for _ in range(ENOUGH):
        policy.ended(world.replicas[0], Work(0, 0, 100, 400, 0), Usage(100, 1, 96))
    assert not policy.errors.prefers_told
    asked = about(STORY)
    policy.choose(world.replicas, asked)
    assert policy.choice is not None
    assert policy.choice.cached_tokens == 0
    for _ in range(5 * ENOUGH):
        policy.ended(world.replicas[0], Work(0, 0, 100, 400, 96), Usage(100, 1, 96))
    assert policy.errors.prefers_told
    assert policy.choose(world.replicas, about(STORY)) is world.replicas[1]


def test_an_engine_that_started_anew_begins_without_errors() -> None:
    errors, world = Errors(), World()
    one: Replica = world.replicas[0]
    for _ in range(8):
        errors.take(one, 0, 0, Usage(100, 1, 50))
    assert errors.of_replicas() == {"r0": 0.5}
    one.came_back(1.0)
    errors.take(one, 0, 0, Usage(100, 1, 0))
    assert errors.of_replicas() == {"r0": 0.0}
    errors.keep(world.replicas[1:])
    assert errors.of_replicas() == {}
