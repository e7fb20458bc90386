"""Looking for what is held when nothing may be held (I6)."""

from __future__ import annotations

import asyncio

from simulation.actors.client import GATEWAY
from simulation.actors.gateway import GatewayProcess
from simulation.stage import Stage


def look_when_nobody_reads(stage: Stage) -> None:
    """Nothing is kept for a client that takes nothing of it, nor its connection."""
    for process in stage.gateways:
        for socket in process.sockets:
            if socket.get_write_buffer_size() and not socket.is_lost:
                stage.broken("I10", f"{socket!r} is kept for a client that does not read")


def look_when_clients_are_gone(stage: Stage) -> None:
    """No call lives, and nothing is held for one: no lease, no ticket, no connection, no engine at work."""
    for process in stage.gateways:
        _look_at_gateway(stage, process)
    for replica in stage.history.replicas:
        if replica.in_flight:
            stage.broken("I6", f"leases are left: {replica!r}")
    for engine in stage.engines.values():
        for connection in engine.connections:
            if connection.is_answering and not connection.socket.outward.is_held:
                stage.broken("I6", f"{engine.plan.id} still answers on {connection.socket!r}")


def look_when_gateways_are_gone(stage: Stage) -> None:
    """No connection to an engine, no timer and no task is left of them; nothing was raised that nobody caught."""
    for socket in stage.network.open:
        if socket.name.endswith(".near") and socket.peer_address != GATEWAY:
            stage.broken("I6", f"{socket!r} is left open when the gateway has stopped")
    for when, what in stage.loop.pending():
        if not what.startswith("simulation."):
            stage.broken("I6", f"a timer of {what}, due at {when}, is left when the gateway has stopped")
    for task in asyncio.all_tasks(stage.loop):
        stage.broken("I6", f"{task.get_coro()!r} is left when the gateway has stopped")
    for complaint in stage.loop.complaints:
        stage.broken("I1", f"was raised and not caught: {complaint}")


def _look_at_gateway(stage: Stage, process: GatewayProcess) -> None:
    parts = process.parts
    if parts.proxy.live:
        stage.broken("I6", f"{parts.proxy.live} calls are live when every client has gone")
    if process.connections:
        stage.broken("I6", f"{process.connections} client connections are left when every client has gone")
    for pool in parts.catalog.pools():
        if parts.admission.waiting(pool.model):
            stage.broken("I6", f"tickets are left in the queue of {pool.model}")
