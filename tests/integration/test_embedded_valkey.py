"""`cascadia up` with a Valkey of its own: limits hold, also while it is gone; it comes back, and nobody is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.product import FREE_PORT, Product, up
from tests.support.simulated import simulated

CONFIG = """\
limits:
  store: valkey
  default: {team: {requests_per_minute: 3}}
"""
BODY = {"model": "simulated", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
SECONDS = 30.0


def valkey_of(product: Product) -> psutil.Process | None:
    return next((each for each in product.processes() if "valkey-server" in each.name()), None)


def limits_of(product: Product) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(product.metrics_url.replace("/metrics", "/readyz"), timeout=10).json()[
        "limits"
    ]
    return found


def test_a_valkey_of_its_own_is_started_restarted_and_ended(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    with simulated(tmp_path) as address:
        arguments = ("--config", str(config), "--upstream", address, "--listen", FREE_PORT)
        with up(tmp_path / "d", *arguments) as product, product.client() as client:
            product.until(lambda: limits_of(product)["counted"] == "together", seconds=SECONDS)
            product.until(lambda: client.post("/chat/completions", json=BODY).is_success, seconds=SECONDS)
            answers = [client.post("/chat/completions", json=BODY).status_code for _ in range(5)]
            assert answers == [200, 200, 429, 429, 429]
            first = valkey_of(product)
            assert first is not None
            assert not first.net_connections("inet")
            first.kill()
            product.until(lambda: limits_of(product)["counted"] == "alone", seconds=SECONDS)
            assert client.post("/chat/completions", json=BODY).status_code == 429
            product.until(lambda: limits_of(product)["counted"] == "together", seconds=SECONDS)
            assert client.post("/chat/completions", json=BODY).is_success
    assert product.left() == []
