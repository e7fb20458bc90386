"""The corpus through nginx: two readers of HTTP, and do they agree on where a request ends? (G17)

    python -m tests.faults.behind_nginx

What nginx takes for a request may be right for the gateway too, since nginx writes it anew. What must not be is a call
that an engine was sent and that no client saw the answer of, or an answer in another's place: then the two disagreed.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from gateway.auth.keys import KeyFile
from tests.faults.corpus import GROUPS, Case
from tests.faults.processes import EngineProcess, GatewayProcess, Process, free_port, in_front_of
from tests.faults.wire import Seen, play, served
from tests.support.product import until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
OUR_OWN = frozenset({"paths", "methods", "credentials", "encodings"})
"""Groups whose rows are refused for what they ask: whoever stands in front, none of it reaches an engine."""
_CONFIG = """\
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://gateway; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering {buffering};
            proxy_set_header Connection ""; proxy_set_header Host localhost;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, gateway: GatewayProcess, *, buffering: str) -> Iterator[tuple[str, int]]:
    """Run nginx in front of `gateway` in this block; gives its address."""
    port = free_port()
    config = folder / f"nginx-{buffering}.conf"
    config.write_text(
        _CONFIG.format(folder=folder, gateway=gateway.address[1], port=port, buffering=buffering)
    )
    command = [NGINX, "-c", str(config), "-e", str(folder / "error.log"), "-p", str(folder)]
    process = Process(command, folder / "nginx.log")
    process.start()
    try:
        until(lambda: _accepts(port), seconds=10, what=process.fail)
        yield ("127.0.0.1", port)
    finally:
        process.signal(signal.SIGTERM)
        process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def disagreement(group: str, case: Case, seen: Seen, dispatched: int) -> str | None:
    """What shows that the two read the same bytes in two ways; `None` when nothing does."""
    own = dispatched - seen.is_canary_answered
    rules = [
        (dispatched == served(seen), f"{dispatched} dispatches, {served(seen)} of them answered"),
        (len(seen.answers) <= 2, "more answers than requests"),
        (not any(answer.header("x-request-id") == "smuggled" for answer in seen.answers), "smuggled"),
        (own <= (case.dispatches if group in OUR_OWN else 1), f"{own} dispatches"),
    ]
    wrong = [text for holds, text in rules if not holds]
    shown = [(answer.status, answer.body[:80]) for answer in seen.answers]
    return f"{group}: {case.name}: {', '.join(wrong)}; saw {shown}" if wrong else None


async def compare(address: tuple[str, int], engine: EngineProcess, key: str) -> tuple[list[str], int, int]:
    """Every row: the disagreements, the number of rows, and how many that are wrong for us nginx made right."""
    wrong: list[str] = []
    rows = made_right = 0
    with engine.client() as control:
        for group, cases in GROUPS.items():
            for case in cases:
                control.post("/sim/reset").raise_for_status()
                seen = Seen()
                await play(address, case, key, seen)
                records = control.get("/sim/log").json()["records"]
                dispatched = sum(record["method"] == "POST" for record in records)
                rows += 1
                made_right += case.dispatches == 0 and dispatched - seen.is_canary_answered == 1
                if told := disagreement(group, case, seen, dispatched):
                    wrong.append(told)
    return wrong, rows, made_right


def main() -> int:
    """Both ways of buffering requests."""
    failed = False
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        folder.chmod(0o755)
        data = folder / "data"
        key = KeyFile(data / "keys.json", data / "pepper", time.time).create("corpus").text
        engine = EngineProcess(folder, "behind")
        gateway = stack.enter_context(in_front_of([engine], folder, sections={"auth": {"mode": "keys"}}))
        for buffering in ("on", "off"):
            with nginx(folder, gateway, buffering=buffering) as address:
                wrong, rows, made_right = uvloop.run(compare(address, engine, key))
            print(
                f"nginx, proxy_request_buffering {buffering}: {rows} rows, {len(wrong)} disagreements, "
                f"{made_right} rows that we would refuse made right by nginx"
            )
            print("\n".join(wrong))
            failed = failed or bool(wrong)
        version = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True)
        print(version.stderr.strip())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
