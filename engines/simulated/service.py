"""The routes: what each request is answered with. The HTTP underneath is in `connection`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec

from engines.simulated import refusals
from engines.simulated.batch import Batch
from engines.simulated.connection import Connection, Request
from engines.simulated.faults import wire_for
from engines.simulated.generator import Generator
from engines.simulated.journal import Journal, Record
from engines.simulated.metering import Metering
from engines.simulated.options import Options
from engines.simulated.pages import Pages
from engines.simulated.script import At, Fault, FaultKind, FaultPlan, Script
from engines.simulated.ticker import Timers
from engines.simulated.visit import Visit, World
from engines.simulated.wires import Wire

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
_GUARDED = ("/v1", "/v2", "/inference", "/cohere", "/sim")
_AT_ARRIVAL = frozenset({FaultKind.DIE, FaultKind.HANG, FaultKind.RESET, FaultKind.CLOSE})


class Service:
    """One simulated engine without its sockets."""

    def __init__(self, options: Options, script: Script, world: World) -> None:
        self.options = options
        self.start_script = script
        self.journal = Journal(options.journal_records)
        self.metering = Metering()
        self.batch = Batch(world.timers, self.metering, world.rng, max_running=options.max_num_seqs)
        self.generator = Generator(options, world, self.batch, self.metering, lambda: self.script)
        self._world = world
        self._keys = tuple(hashlib.sha256(key.encode()).digest() for key in options.api_keys)
        self._routes = self._table()
        self.script = script
        self._plan = FaultPlan(script.faults, world.rng)

    def _table(self) -> dict[str, dict[str, Callable[[Visit], None]]]:
        pages = Pages(self.options, self._world, self.batch, self.metering)
        return {
            CHAT: {"POST": self.generator.chat},
            COMPLETIONS: {"POST": self.generator.completion},
            "/v1/models": {"GET": pages.models},
            "/health": {"GET": pages.empty},
            "/ping": {"GET": pages.empty, "POST": pages.empty},
            "/version": {"GET": pages.version},
            "/load": {"GET": pages.load},
            "/metrics": {"GET": pages.metrics},
            "/tokenize": {"POST": pages.tokenize},
            "/sim/script": {"GET": self._read_script, "POST": self._write_script},
            "/sim/log": {"GET": self._log},
            "/sim/reset": {"POST": self._reset},
        }

    # --- the script

    def use(self, script: Script) -> None:
        """Take `script` for the requests that come from now on; the counts of its faults start anew."""
        self.script = script
        self._plan = FaultPlan(script.faults, self._world.rng)

    def reset(self) -> None:
        """Go back to the script of the start and forget the log. Metrics stay: they only ever rise."""
        self.journal.clear()
        self.use(self.start_script)

    def die(self, code: int) -> None:
        """End the whole engine."""
        self._world.die(code)

    # --- the way of a request

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer a request, now or later."""
        path = request.target.partition(b"?")[0].decode("latin-1")
        if path.startswith("/sim/"):
            record, fault = Record(0, request.method, path, {}, b"", 0.0), None
        else:
            now = self._world.timers.time()
            record = self.journal.open(request.method, path, request.headers, request.body, now)
            record.request_id = _text(request.headers.get(b"x-request-id"))
            fault = self._plan.take(path, request.body)
        self._visit(path, Visit(request, connection, record, fault, Wire(connection, record)))

    def _visit(self, path: str, visit: Visit) -> None:
        if visit.fault is not None and self._is_taken_by(visit.fault, visit):
            return
        if not self._may_enter(path, visit.request.headers):
            self._refuse_raw(visit, 401, refusals.UNAUTHORIZED, vary=False)
            return
        methods = self._routes.get(path)
        if methods is None:
            self._no_route(path, visit)
            return
        handler = methods.get(visit.request.method)
        if handler is None:
            allow = b"allow: %s\r\n" % ", ".join(methods).encode()
            is_head = visit.request.method == "HEAD"
            self._refuse_raw(visit, 405, refusals.METHOD_NOT_ALLOWED, extra=allow, has_body=not is_head)
            return
        try:
            handler(visit)
        except refusals.Refused as refusal:
            self._refuse(visit, refusal)
        except refusals.Unreadable:
            self._refuse_raw(visit, 400, refusals.UNREADABLE)

    def _is_taken_by(self, fault: Fault, visit: Visit) -> bool:
        """Let a fault change how this request is served; true when it is the whole answer."""
        connection = visit.connection
        connection.split_bytes = fault.split_bytes
        if fault.kind is FaultKind.STALE:
            visit.record.fault = fault.kind.value
            if connection.served:
                visit.record.close("fault", self._world.timers.time())
                connection.cut(reset=False)
            return bool(connection.served)
        if fault.kind is FaultKind.NO_KEEP_ALIVE:
            connection.keep_alive = False
        visit.wire = wire_for(connection, visit.record, fault)
        if fault.kind is FaultKind.STATUS:
            extra = "".join(f"{name}: {value}\r\n" for name, value in fault.headers.items()).encode()
            body = refusals.broken(fault.message).body() if fault.body is None else fault.body.encode()
            visit.record.close("fault", self._world.timers.time())
            visit.wire.reply(fault.status, body, extra=extra)
            return True
        if fault.kind is FaultKind.QUEUE_FULL and not fault.in_stream:
            visit.record.close("fault", self._world.timers.time())
            self.metering.rejected["max_num_queued_reqs"] += 1
            visit.wire.reply(503, refusals.busy().body())
            return True
        if fault.at is At.ARRIVAL and fault.kind in _AT_ARRIVAL:
            self._strike_at_arrival(fault, visit)
            return True
        return False

    def _strike_at_arrival(self, fault: Fault, visit: Visit) -> None:
        connection = visit.connection
        if fault.kind is FaultKind.HANG:
            connection.behind = Hung(visit.record, self._world.timers)
            return
        visit.record.close("fault", self._world.timers.time())
        if fault.kind is FaultKind.DIE:
            self.die(fault.code)
            return
        connection.cut(reset=fault.kind is FaultKind.RESET)

    def _may_enter(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if not self._keys or not path.startswith(_GUARDED):
            return True
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        given = hashlib.sha256(token).digest()
        return any(hmac.compare_digest(given, key) for key in self._keys)

    def _no_route(self, path: str, visit: Visit) -> None:
        if path.endswith("/") and path[:-1] in self._routes:
            host = visit.request.headers.get(b"host", b"localhost")
            location = b"location: http://%s%s\r\n" % (host, path[:-1].encode("latin-1"))
            visit.record.close("refused", self._world.timers.time())
            visit.wire.reply(307, b"", content_type=None, extra=location)
            return
        self._refuse_raw(visit, 404, refusals.NOT_FOUND)

    def _refuse(self, visit: Visit, refusal: refusals.Refused) -> None:
        self._refuse_raw(visit, refusal.status, refusal.body())

    def _refuse_raw(self, visit: Visit, status: int, body: bytes, **known: Any) -> None:
        visit.record.close("refused", self._world.timers.time())
        visit.wire.reply(status, body, **known)

    # --- control

    def _read_script(self, visit: Visit) -> None:
        self._tell(visit, self.script)

    def _write_script(self, visit: Visit) -> None:
        try:
            self.use(self.script.changed(msgspec.json.decode(visit.request.body)))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise refusals.Refused(400, f"bad script: {error}", param="sim") from error
        self._tell(visit, self.script)

    def _log(self, visit: Visit) -> None:
        told = {"dropped": self.journal.dropped, "records": [r.as_json() for r in self.journal]}
        self._tell(visit, told)

    def _reset(self, visit: Visit) -> None:
        self.reset()
        self._tell(visit, {})

    def _tell(self, visit: Visit, value: object) -> None:
        visit.reply_json(value, self._world.timers.time())


class Hung:
    """A request that was read and is never answered."""

    def __init__(self, record: Record, timers: Timers) -> None:
        record.fault = FaultKind.HANG.value
        self._record = record
        self._timers = timers

    def on_gone(self, *, by_fault: bool) -> None:  # noqa: ARG002 it ends the same way
        """Note that the client gave up."""
        self._record.close("aborted", self._timers.time())

    def on_stall(self) -> None:
        """Nothing: it stands already."""

    def on_writable(self, is_writable: bool) -> None:
        """Nothing: there is nothing to send."""


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
