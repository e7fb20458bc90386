"""nginx as a plain reverse proxy: what the gateway's figures are set against.

It does what any proxy in front of an engine must, and no more: compares the key, chooses the engine with the fewest
connections, keeps connections to it, passes an answer on as it comes. One worker process, no access log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import Address

DEBIAN_PACKAGE = "nginx-light"
LARGEST_BODY = "8m"
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # where a person's PATH does not look
_KEPT_CONNECTIONS = 2048
_MOST_CONNECTIONS = 16_384
_NEVER = 1_000_000_000  # nginx closes a connection after 1,000 requests unless it is told a number

_CONFIGURATION = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
{user}pid nginx.pid;
error_log stderr error;
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size {largest_body};
    client_body_buffer_size 1m;
    keepalive_requests {never};
    keepalive_timeout 1h;
    upstream engines {{
        least_conn;
{servers}
        keepalive {kept};
        keepalive_requests {never};
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            if ($http_authorization != "Bearer {key}") {{
                return 401;
            }}
            proxy_pass http://engines;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 10m;
        }}
    }}
}}
"""


def program() -> str | None:
    """The installed nginx, or `None`."""
    folders = [os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS]
    return shutil.which("nginx", path=os.pathsep.join(folders))


def missing() -> str | None:
    """What to do when nginx is not installed, in one line; `None` when it is."""
    if program() is not None:
        return None
    return f"nginx is not installed (Debian: apt-get install {DEBIAN_PACKAGE}): there are no ratios to it."


def version() -> str | None:
    """The installed nginx's version, `None` without one."""
    found = program()
    if found is None:
        return None
    told = subprocess.run([found, "-v"], capture_output=True, text=True, check=False).stderr
    return told.strip().partition("nginx/")[2] or None


def configuration(*, port: int, engines: Sequence[Address], key: str, is_root: bool) -> str:
    """The text of its configuration file; relative paths in it are below nginx's prefix.

    Bodies are kept in memory whatever their size. A worker started by root would become another user, who may not enter
    the prefix.
    """
    return _CONFIGURATION.format(
        files=2 * _MOST_CONNECTIONS,
        user="user root;\n" if is_root else "",
        connections=_MOST_CONNECTIONS,
        largest_body=LARGEST_BODY,
        never=_NEVER,
        servers="\n".join(f"        server {host}:{engine_port};" for host, engine_port in engines),
        kept=_KEPT_CONNECTIONS,
        port=port,
        key=key,
    )


def command(folder: Path, *, port: int, engines: Sequence[Address], key: str) -> Sequence[str]:
    """Writes the configuration into `folder`, which becomes nginx's prefix; says what to run."""
    found = program()
    if found is None:
        raise RuntimeError("ask missing() first")
    path = folder / "nginx.conf"
    path.write_text(configuration(port=port, engines=engines, key=key, is_root=os.geteuid() == 0))
    return [found, "-p", str(folder), "-c", str(path), "-e", "stderr"]
