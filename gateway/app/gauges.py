"""The gauges that are a number of one part's state, read at the scrape."""

from __future__ import annotations

from gateway.api.admin.door import Door
from gateway.explain import Recorder
from gateway.observe.metrics import Gauge
from gateway.observe.watchdog import Watchdog
from gateway.proxy.guard import Guard
from gateway.proxy.proxy import Proxy


def gauges_of(proxy: Proxy, guard: Guard, watchdog: Watchdog, recorder: Recorder, door: Door) -> list[Gauge]:
    """In the order in which they are told."""
    return [
        Gauge(
            "cascadia_requests_in_flight",
            "Calls that are not over, waiting ones included.",
            lambda: proxy.live,
        ),
        Gauge(
            "cascadia_requests_quarantined",
            "Requests that are given to no engine, since engines died under them.",
            proxy.quarantine.held,
        ),
        Gauge(
            "cascadia_held_bytes",
            "Size of the requests and whole answers that are held now.",
            lambda: proxy.held_bytes,
        ),
        Gauge(
            "cascadia_admin_calls_denied",
            "Calls of the administration that were turned away since the start.",
            lambda: door.denied,
        ),
        Gauge(
            "cascadia_explain_records",
            "Requests that are remembered for explanations.",
            recorder.__len__,
        ),
        Gauge("cascadia_connections", "Open connections of clients.", lambda: len(guard)),
        Gauge(
            "cascadia_event_loop_lag_seconds",
            "The longest that the event loop was late in the last half minute.",
            watchdog.worst_lag,
        ),
    ]
