"""What choosing a replica costs: `python -m benchmarks.routing`.

Each policy, and `scored` with `prefix_source: events` where the packages of the extra `precise` are, over 1, 8 and 64 replicas that hold a few calls each: the choice and what is noted with it, for one call
after the other. The least of many repeats is shown, as in `benchmarks.hot_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from time import monotonic
from typing import Annotated

import typer

from benchmarks.hot_path import least
from engines.bundled import model_path
from gateway.balancer import POLICIES, Policy
from gateway.balancer.scored import Scored
from gateway.core.call import Call, Envelope, Principal, Tier
from gateway.core.outcome import Usage
from gateway.fleet.cached import Follower, Followers
from gateway.fleet.cached.events import Batch, BlockStored
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Published, Sighting, UnixAddress
from gateway.fleet.load import Load
from gateway.fleet.replica import Replica

REPLICAS = (1, 8, 64)
_CALLS = 64


def replicas(count: int) -> list[Replica]:
    """Replicas that hold one to four calls, and said what their load is."""
    made = []
    for number in range(count):
        nowhere = UnixAddress("/nowhere")
        published = Published(nowhere, nowhere, str(model_path()))
        endpoint = Endpoint(f"engine-{number}", nowhere, "vllm", (("m", "m"),), None, 128, 60.0, published)
        replica = Replica(endpoint, Condition.READY)
        replica.in_flight = 1 + number % 4
        replica.saw(Load(running=2.0, waiting=0.0, kv_usage=0.5), 0.0)
        made.append(replica)
    return made


def calls(size_bytes: int) -> list[Call]:
    """Calls of conversations that share half of what they say."""
    made = []
    for number in range(_CALLS):
        text = ("shared " * size_bytes)[: size_bytes // 2] + (f"{number} " * size_bytes)[: size_bytes // 2]
        body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % text.encode()
        envelope = Envelope("m", True, False, body, b"", session=f"session-{number}")
        made.append(Call("id", Principal("tenant", "key"), "chat", "m", 0.0, 600.0, Tier.DEFAULT, envelope))
    return made


class _Told(Follower):
    """Of an engine that has one block, which is nobody's."""

    def start(self) -> None:
        """Know it."""
        self.is_connected = True
        self.blocks.take(Batch(0.0, [BlockStored([1], list(range(16)), 16)]))


def by_events(members: list[Replica]) -> Scored:
    """The policy `scored` where engines say what they have, its tokenizer loaded."""
    from gateway.balancer.precise import Knowledge  # noqa: PLC0415 - an extra

    catalog = Catalog()
    catalog.publish("here", [Sighting(each.endpoint, Condition.READY) for each in members])
    followers = Followers(catalog, _Told)
    followers.sweep()
    knowledge = Knowledge(
        followers, lambda work, done: done(work()), lambda principal, _: principal.tenant, clock=monotonic
    )
    knowledge.prepare()
    return Scored(knowledge)


def _plain(policy: Callable[[], Policy]) -> Callable[[list[Replica]], Policy]:
    return lambda _: policy()


def measure(made: Callable[[list[Replica]], Policy], count: int, size_bytes: int, repeats: int) -> float:
    """CPU seconds of one choice, what is noted of it, and what is learnt at the end of the call."""
    members, asked = replicas(count), calls(size_bytes)
    policy = made(members)
    usage = Usage(size_bytes // 4, 64, size_bytes // 8)

    def once() -> None:
        for call in asked:
            chosen = policy.choose(members, call)
            if chosen is not None:
                policy.ended(chosen, policy.took(chosen, call), usage)

    return least(once, per_repeat=1, repeats=repeats) / _CALLS


def main(
    repeats: Annotated[int, typer.Option(min=1, help="The least of so many is shown.")] = 50,
    size: Annotated[int, typer.Option(min=16, help="Bytes of a prompt.")] = 2048,
) -> None:
    """Measure every policy."""
    print(f"µs per choice, {size} bytes of prompt" + "".join(f"{count:>8}" for count in REPLICAS))
    makers = {name: _plain(policy) for name, policy in POLICIES.items()}
    if find_spec("tokenizers") is not None and find_spec("jinja2") is not None:
        makers["scored, prefix_source: events"] = by_events
    for name, made in makers.items():
        figures = [measure(made, count, size, repeats) * 1e6 for count in REPLICAS]
        print(f"{name:<37}" + "".join(f"{value:8.2f}" for value in figures))


if __name__ == "__main__":
    typer.run(main)
