"""What choosing a replica costs: `python -m benchmarks.routing`.

Each policy over 1, 8 and 64 replicas that hold a few calls each: the choice and what is noted with it, for one call
after the other. The least of many repeats is shown, as in `benchmarks.hot_path`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.hot_path import least
from gateway.balancer import POLICIES
from gateway.core.call import Call, Envelope, Principal, Tier
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition, Endpoint, UnixAddress
from gateway.fleet.load import Load
from gateway.fleet.replica import Replica

REPLICAS = (1, 8, 64)
_CALLS = 64


def replicas(count: int) -> list[Replica]:
    """Replicas that hold one to four calls, and said what their load is."""
    made = []
    for number in range(count):
        endpoint = Endpoint(
            f"engine-{number}", UnixAddress("/nowhere"), "vllm", (("m", "m"),), None, 128, 60.0
        )
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


def measure(name: str, count: int, size_bytes: int, repeats: int) -> float:
    """CPU seconds of one choice, what is noted of it, and what is learnt at the end of the call."""
    policy, members, asked = POLICIES[name](), replicas(count), calls(size_bytes)
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
    for name in POLICIES:
        figures = [measure(name, count, size, repeats) * 1e6 for count in REPLICAS]
        print(f"{name:<37}" + "".join(f"{value:8.2f}" for value in figures))


if __name__ == "__main__":
    typer.run(main)
