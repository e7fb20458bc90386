"""One of the gateway processes of one service: which of how many it is, and its share of what is bounded.

Calls in flight, queues, ejections and the quarantine are each process's own. So that together they keep to what is
configured, each keeps to its share of it; limits of callers are no matter of shares, they are counted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config.schema import Config
from gateway.fleet.endpoint import Sighting


@dataclass(frozen=True, slots=True)
class Seat:
    """Seat `number` of `of`, counted from 0. `folder` is where the processes leave word for each other."""

    number: int = 0
    of: int = 1
    folder: Path | None = None

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.of == 1

    def share(self, whole: int) -> int:
        """This seat's part of `whole`, at least 1: the parts of all seats add up to it, where it is not less than them."""
        return max(1, whole // self.of + (self.number < whole % self.of))


ALONE = Seat()


def share_of(config: Config, seat: Seat) -> Config:
    """`config` with what bounds this process alone. Zero stays zero: it says that there is none of something."""
    if seat.is_alone:
        return config
    server, admission, explain, ledger = config.server, config.admission, config.explain, config.ledger

    def part(whole: int) -> int:
        return whole and seat.share(whole)

    def part_or_none(whole: int | None) -> int | None:
        return None if whole is None else part(whole)

    return config.model_copy(
        update={
            "server": server.model_copy(update={"max_connections": part(server.max_connections)}),
            "admission": admission.model_copy(
                update={
                    "max_queue": part(admission.max_queue),
                    "max_queue_tokens": part_or_none(admission.max_queue_tokens),
                    "max_queue_bytes": part_or_none(admission.max_queue_bytes),
                }
            ),
            "explain": explain.model_copy(
                update={"records": part(explain.records), "max_bytes": part(explain.max_bytes)}
            ),
            "ledger": ledger.model_copy(
                update={
                    "reserve_bytes": part(ledger.reserve_bytes),
                    "max_spool_bytes": part(ledger.max_spool_bytes),
                }
            ),
        }
    )


def sighted(sightings: Sequence[Sighting], seat: Seat) -> Sequence[Sighting]:
    """What a discovery sees, with this process's share of each replica's limit."""
    if seat.is_alone:
        return sightings
    return [
        replace(
            each,
            endpoint=replace(each.endpoint, max_in_flight=seat.share(each.endpoint.max_in_flight)),
        )
        for each in sightings
    ]
