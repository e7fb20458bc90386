"""Requests that kill engines: known again by their content, and not given to a third engine.

A request whose connection to an engine is lost before any content came gets a strike, one for each engine and time. It
counts once the engine is known to be dead, and is taken back when the engine is heard of again. Two deaths make it
guilty, unless many others were on both engines: a node that fails twice under load strikes everyone on it, and most of
them did nothing. A request that is answered somewhere is innocent, and for some time stays so: a load test sends the
same body a thousand times. An engine that is back at the same address before anybody missed it is taken for one whose
connection broke.

Requests are known by a keyed digest of tenant and body, so no prompt is kept, and made only while anybody has a strike.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.core.held import Held
from gateway.fleet.endpoint import Condition
from gateway.fleet.replica import Replica

STRIKE_SECONDS = 60.0
"""How long a strike counts: two deaths further apart are two accidents."""
QUARANTINE_SECONDS = 600.0
DOUBT_SECONDS = 5.0
"""How long it may take until an engine is known to be dead, or heard of again."""
TOGETHER_SECONDS = 1.0
"""Connections lost within this time of each other are lost by one death."""
MOST_SHARING = 8
MAX_KNOWN = 4096
"""Requests remembered at once; the oldest are forgotten first."""
_GUILTY_STRIKES = 2

log = logging.getLogger(__name__)


class Standing(Enum):
    """What may be done with a request."""

    FREE = "free"
    DOUBTED = "doubted"  # two engines were lost under it just now; whether they died is not known yet
    HELD = "held"  # in quarantine


@dataclass(frozen=True, slots=True)
class Strike:
    """One engine that was lost under a request, at monotonic time `at`."""

    replica: Replica
    at: float

    def is_refuted(self) -> bool:
        """Whether the engine has been heard of since: it did not die."""
        return self.replica.heard_at > self.at

    def is_confirmed(self) -> bool:
        """Whether the engine is known to be dead."""
        return self.replica.unreachable or self.replica.condition is not Condition.READY


@dataclass(slots=True)
class _Suspect:
    strikes: list[Strike] = field(default_factory=list)
    until: float = 0.0
    """End of its quarantine."""


class Quarantine:
    """All suspects. `secret` keys the digests, `clock` gives monotonic seconds."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock
        self._suspects: dict[bytes, _Suspect] = {}
        self._innocent: dict[bytes, float] = {}

    @property
    def has_suspects(self) -> bool:
        """Whether anything has to be asked: false as long as no engine is lost."""
        return bool(self._suspects or self._innocent)

    def held(self) -> int:
        """How many requests are in quarantine."""
        now = self._clock()
        return sum(suspect.until > now for suspect in self._suspects.values())

    def listed(self) -> list[Held]:
        """The requests in quarantine."""
        now = self._clock()
        return [
            Held(
                key.hex(),
                suspect.until - now,
                tuple(dict.fromkeys(strike.replica.endpoint.id for strike in suspect.strikes)),
            )
            for key, suspect in self._suspects.items()
            if suspect.until > now
        ]

    def release(self, id_: str) -> bool:
        """Let the request of that id out, and forget its strikes; whether it was in."""
        for held in self.listed():
            if held.id == id_:
                del self._suspects[bytes.fromhex(id_)]
                return True
        return False

    def strike(self, tenant: str, body: bytes, replica: Replica) -> None:
        """The connection to `replica` was lost under this request."""
        now, key = self._clock(), self._key(tenant, body)
        if now - self._innocent.get(key, -STRIKE_SECONDS) < STRIKE_SECONDS:
            return
        suspect = self._suspects.setdefault(key, _Suspect())
        suspect.strikes = _counting(suspect, now)
        if not any(each.replica is replica and now - each.at < TOGETHER_SECONDS for each in suspect.strikes):
            suspect.strikes.append(Strike(replica, now))
        while len(self._suspects) > MAX_KNOWN:
            del self._suspects[next(iter(self._suspects))]

    def standing(self, tenant: str, body: bytes, *, request_id: str) -> Standing:
        """Whether this request may be given to an engine."""
        suspect = self._suspects.get(self._key(tenant, body))
        if suspect is None:
            return Standing.FREE
        now = self._clock()
        if suspect.until > now:
            return Standing.HELD
        strikes = suspect.strikes = _counting(suspect, now)
        if len(strikes) < _GUILTY_STRIKES or self._sharing(suspect, now) > MOST_SHARING:
            return Standing.FREE
        if sum(strike.is_confirmed() for strike in strikes) >= _GUILTY_STRIKES:
            suspect.until = now + QUARANTINE_SECONDS
            log.warning(
                "request quarantined: engines died under it",
                extra={"tenant": tenant, "request_id": request_id, "seconds": QUARANTINE_SECONDS},
            )
            return Standing.HELD
        is_fresh = len({strike.replica for strike in strikes if now - strike.at < DOUBT_SECONDS}) > 1
        return Standing.DOUBTED if is_fresh else Standing.FREE

    def is_suspect(self, tenant: str, body: bytes, replica: Replica) -> bool:
        """Whether another engine than `replica` was lost under this request."""
        suspect = self._suspects.get(self._key(tenant, body))
        return suspect is not None and any(
            strike.replica is not replica for strike in _counting(suspect, self._clock())
        )

    def clear(self, tenant: str, body: bytes) -> None:
        """This request was answered: it is innocent, for some time whatever happens."""
        key = self._key(tenant, body)
        if self._suspects.pop(key, None) is not None or key in self._innocent:
            self._innocent[key] = self._clock()

    def sweep(self) -> None:
        """Forget what does not count any more."""
        if self._suspects:
            now = self._clock()
            for key, suspect in list(self._suspects.items()):
                if suspect.until <= now and not _counting(suspect, now):
                    del self._suspects[key]
        for key, at in list(self._innocent.items()):
            if self._clock() - at >= STRIKE_SECONDS:
                del self._innocent[key]

    def _sharing(self, suspect: _Suspect, now: float) -> int:
        """How many requests were on all the engines that this one lost, itself among them."""
        lost = {strike.replica for strike in suspect.strikes}
        return sum(
            lost <= {strike.replica for strike in _counting(other, now)} for other in self._suspects.values()
        )

    def _key(self, tenant: str, body: bytes) -> bytes:
        digest = hashlib.blake2b(tenant.encode() + b"\0", key=self._secret, digest_size=16)
        digest.update(body)
        return digest.digest()


def _counting(suspect: _Suspect, now: float) -> list[Strike]:
    return [each for each in suspect.strikes if now - each.at <= STRIKE_SECONDS and not each.is_refuted()]
