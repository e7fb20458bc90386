"""The ledger's own state as metrics: whether usage is recorded, and how far it is from the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.ledger import Ledger
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.drain import Drain
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.spool import Spool

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class LedgerMetrics(Collector):
    """Read at the scrape."""

    def __init__(
        self, ledger: Ledger, spool: Spool, drain: Drain, clerk: Clerk, reconciler: Reconciler
    ) -> None:
        self._reconciler = reconciler
        self._ledger = ledger
        self._spool = spool
        self._drain = drain
        self._clerk = clerk

    def collect(self) -> Iterable[Metric]:
        """Read it now."""
        ledger, spool, drain, clerk = self._ledger, self._spool, self._drain, self._clerk
        for name, meaning, value in (
            ("accepting", "1 while records can be written; at 0 new calls are refused.", not spool.is_full),
            ("open_records", "Calls at an engine, whose records are open.", ledger.open),
            ("spool_bytes", "Size of the records on disk that wait for the database.", spool.size),
            ("lag_seconds", "Since everything on disk was in the database too.", drain.lag),
        ):
            yield GaugeMetricFamily(f"cascadia_ledger_{name}", meaning, value=float(value))
        for name, meaning, value in (
            ("calls", "Calls that were sent to an engine, and so have a record.", ledger.count),
            ("rows", "Records that were brought to the database.", drain.moved),
            ("dropped_records", "Records that no disk took: usage that is lost.", spool.dropped),
            (
                "refused_rows",
                "Records with values that the database does not take; they are kept aside.",
                drain.refused,
            ),
            (
                "clerk_starts",
                "Starts of the process that writes to the database: one, unless it dies.",
                clerk.starts,
            ),
            ("torn_bytes", "Bytes in the spool that were no records; they are kept aside.", drain.torn_bytes),
        ):
            yield CounterMetricFamily(f"cascadia_ledger_{name}", meaning, value=float(value))
        drift = GaugeMetricFamily(
            "cascadia_ledger_drift_tokens",
            "Tokens that an engine has counted since this gateway saw it first, less those in the ledger.",
            labels=["replica", "kind"],
        )
        for replica, tokens in self._reconciler.drift.items():
            drift.add_metric([replica, "prompt"], tokens.prompt)
            drift.add_metric([replica, "completion"], tokens.completion)
        yield drift
