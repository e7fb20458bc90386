"""One direction of a connection: bytes on their way from one socket to the other, in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from simulation.world.wire import Cut, How, Wire

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop
    from simulation.world.socket import Socket

MOST_BYTES = 64 * 1024
"""No read gives more at once."""
NEXT_SECONDS = 0.00002
"""Between two pieces of what came together."""
FINE_BYTES, OF_BYTES = 512, 4096
"""So much of so much is cut finely, and the rest into larger pieces: each cut costs time."""
COARSER, COARSEST = 40, 2000
FIRST_BYTES = 32 * 1024
"""Behind these, pieces are coarsest: a large body would be cut ten thousand times."""


class Flow:
    """Bytes from `source` to `sink`. `cut` breaks the connection when so many have passed."""

    def __init__(
        self, loop: VirtualLoop, wire: Wire, rng: random.Random, source: Socket, sink: Socket, cut: Cut | None
    ) -> None:
        self._loop = loop
        self.wire = wire
        self._rng = rng
        self._source = source
        self._sink = sink
        self._cut = cut
        self._kernel = bytearray()
        self._passed = 0
        self._is_armed = False
        self._is_finished = False
        self._is_dead = False
        self._is_torn = False
        self._has_answered = False
        self._expects_timeout = False
        self.is_held = False
        """Nothing arrives any more."""

    def put(self, data: bytes) -> int:
        """Take as much as the kernels have room for; gives how much that was."""
        if self._is_torn:
            self._answer_by_reset()
        if self._is_dead or self._is_torn:
            return len(data)
        taken = min(len(data), self.wire.capacity_bytes - len(self._kernel))
        self._kernel += data[:taken]
        if self.is_held:
            self._expect_timeout()
        else:
            self.arm()
        return taken

    def finish(self) -> None:
        """Nothing more is sent: FIN, behind what is on its way."""
        self._is_finished = True
        self.arm()

    def reset(self) -> None:
        """RST to the sink; what is on its way is lost."""
        self._kernel.clear()
        self._is_dead = True
        if not self.is_held:
            self._loop.call_later(self._delay(), self._sink.receive_reset)

    def hold(self) -> None:
        """Let nothing arrive any more."""
        self.is_held = True
        if self._kernel:
            self._expect_timeout()

    def holds_unread(self) -> bool:
        """Whether something has arrived and was not read, as against what is on its way."""
        return bool(self._kernel) and not self._is_armed

    def arm(self, delay: float | None = None) -> None:
        """See to it that what can be delivered will be, after `delay` or the time that the wire takes."""
        if self._is_armed or self._is_dead or self.is_held:
            return
        if (self._kernel or self._is_finished) and (self._sink.takes() or self._sink.is_lost):
            self._is_armed = True
            self._loop.call_later(self._delay() if delay is None else delay, self._deliver)

    def _delay(self) -> float:
        return self.wire.latency * (0.5 + self._rng.random())

    def _deliver(self) -> None:
        self._is_armed = False
        if self._is_dead or self.is_held:
            return
        if self._sink.is_lost:
            self._deliver_to_closed()
            return
        if not self._sink.takes():
            return
        if not self._kernel:
            self._is_dead = True
            self._sink.receive_end()
            return
        size = min(len(self._kernel), MOST_BYTES)
        if self.wire.slice_bytes:
            size = min(size, self._rng.randint(1, self._largest_slice()))
        cut = self._cut
        if cut is not None and self._passed + size >= cut.after_bytes:
            size = max(0, cut.after_bytes - self._passed)
        data = bytes(self._kernel[:size])
        del self._kernel[:size]
        self._passed += size
        if data:
            self._sink.receive(data)
        if cut is not None and self._passed >= cut.after_bytes:
            self._break(cut.how)
            return
        if self._kernel:
            self.arm(NEXT_SECONDS)
        self._source.sent()
        self.arm()

    def _largest_slice(self) -> int:
        """How much the next piece may be."""
        if self._passed >= FIRST_BYTES:
            return self.wire.slice_bytes * COARSEST
        return self.wire.slice_bytes * (1 if self._passed % OF_BYTES < FINE_BYTES else COARSER)

    def _deliver_to_closed(self) -> None:
        """Bytes for a closed socket are answered by a reset, its FIN by nothing."""
        if self._kernel:
            self._kernel.clear()
            self._is_dead = True
            self._sink.outward.reset()

    def _break(self, how: How) -> None:
        """Something between the two ends the connection: for the sink in the way asked for, for the source by RST."""
        self._cut = None
        back = self._sink.outward
        if how is How.HOLE:
            self.hold()
            back.hold()
            return
        self._kernel.clear()
        self._is_torn = True
        if how is How.FIN:
            self.finish()
            back.tear()
        else:
            self.reset()
        back.reset()

    def tear(self) -> None:
        """Let nothing more through; whoever sends is answered by RST."""
        self._is_torn = True
        if self._source.get_write_buffer_size():
            self._answer_by_reset()

    def _answer_by_reset(self) -> None:
        if not self._has_answered:
            self._has_answered = True
            self._loop.call_later(self._delay(), self._source.receive_reset)

    def _expect_timeout(self) -> None:
        if self._source.user_timeout is not None and not self._expects_timeout:
            self._expects_timeout = True
            self._loop.call_later(self._source.user_timeout, self._source.time_out)
