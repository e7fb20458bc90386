"""What a client may expect, by what it and its network did."""

from __future__ import annotations

from simulation.actors.history import Asked
from simulation.schedule import Schedule
from simulation.schedule.values import ClientPlan, Flaw, What
from simulation.world.loop import START


def is_undisturbed(schedule: Schedule, asked: Asked) -> bool:
    """Whether nothing between the gateway and this client keeps what the gateway says from arriving."""
    return not (asked.left or _is_disturbed(asked.client) or _may_be_reset(schedule, asked))


def deserves_an_answer(schedule: Schedule, asked: Asked) -> bool:
    """Whether even losing the connection would be wrong.

    A later request of a connection may cross the gateway's closing of it, and so may any that a drain meets.
    """
    drains = [START + each.at for each in schedule.happenings if each.what is What.DRAIN]
    return (
        asked.client.requests[0] is asked.plan
        and asked.plan.flaw is Flaw.NONE
        and not any(asked.over_at is not None and at <= asked.over_at for at in drains)
    )


def _is_disturbed(client: ClientPlan) -> bool:
    return bool(client.cut or client.leave or client.read_pause or client.reads_bytes is not None)


def _may_be_reset(schedule: Schedule, asked: Asked) -> bool:
    """On the plain driver uvicorn closes on what it has not read, and that resets.

    Others behind the request may be unread, and of one after which the connection ends anyway the body may be.
    """
    is_first = asked.plan is asked.client.requests[0]
    is_plain = schedule.settings.driver == "asgi" or not is_first or asked.plan.expects or asked.plan.control
    return is_plain and (asked.client.is_pipelining or asked.plan.is_1_0)
