"""No secret and no prompt is in what the product says, keeps or shows: strings that are nowhere else are sent, and sought."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.product import Product, until, up
from tests.support.simulated import SIMULATED_CONFIG

PROMPT = "canary-prompt-6f1d"
UPSTREAM_KEY = "canary-upstream-key-93ab"
VARIABLE = "canary-variable-77c0"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5LXNpZ25hdHVyZQ"
FORGED = "gw_local_abcdefghijkl_" + "C" * 43 + "_000000"
CONFIG = f"""{SIMULATED_CONFIG}  env: {{HF_TOKEN: {VARIABLE}}}
upstreams:
- url: http://127.0.0.1:9
  models: {{gone: gone}}
  api_key: {UPSTREAM_KEY}
"""


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    config = tmp_path / "cascadia.yaml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    with up(tmp_path / "data", "--config", str(config)) as running:
        running.wait_until_ready()
        yield running


def test_no_canary_is_in_any_log_metric_error_argument_or_record(product: Product) -> None:
    token = (product.data / "admin.token").read_text().strip()
    admin = product.metrics_url.removesuffix("/metrics")
    said: list[str] = []

    def ask(url: str, credential: str, **more: object) -> None:
        headers = {"authorization": f"Bearer {credential}"}
        method = "POST" if more else "GET"
        said.append(httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **more).text)  # type: ignore[arg-type]

    bodies = [
        {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
        for model in ("tiny", "gone", "none")
        for more in ({}, {"stream": True}, {"n": 99}, {"cache_salt": PROMPT}, {"messages": PROMPT})
    ]
    for body in bodies:
        ask(f"{product.url}/chat/completions", product.key, json=body)
    answers, said = said, []  # the engine's answers repeat what was asked, which is their caller's own
    assert any(PROMPT in answer for answer in answers)
    for credential in (JWT, FORGED, token, f"{product.key}x"):
        ask(f"{product.url}/chat/completions", credential, json=bodies[0])
        ask(f"{product.url}/models", credential)
        ask(f"{admin}/admin/requests", f"{credential}y")
        ask(f"{admin}/admin/keys", f"{credential}y", json={"name": credential})
    for path in (
        "requests",
        "requests?limit=1000",
        "config",
        "replicas",
        "keys",
        "quarantine",
        "openapi.json",
    ):
        ask(f"{admin}/admin/{path}", token)
    said.append(httpx.get(product.metrics_url, timeout=30, trust_env=False).text)
    until(
        lambda: product.said('"code":"model_not_found"|model_not_found'),
        seconds=10,
        what=lambda: product.text,
    )
    arguments = [" ".join(process.cmdline()) for process in product.processes()]
    kept = [
        path.read_bytes().decode("latin-1")
        for path in product.data.rglob("*")
        if path.is_file()
        and path.name not in {"admin.token", "config.json"}  # for their owner alone, by design
    ]
    log = product.text.replace(product.key, "", 2)  # the screen shows the first key twice, and that is all
    for canary in (PROMPT, UPSTREAM_KEY, VARIABLE, JWT, FORGED, token, product.key):
        places = {"answers": said, "log": [log], "arguments": arguments, "files": kept}
        assert {name for name, texts in places.items() if any(canary in text for text in texts)} == set(), (
            canary
        )
    assert any("admin" in text for text in kept)
