"""A stand-in for vLLM's server that starts in a moment and misbehaves on request.

Put on PYTHONPATH it is found as the real module is: same command line, socket, key, routes that the supervisor asks,
and a child process, "the core", that outlives a killed server as vLLM's does. Variables choose its faults:

    STANDIN_EXIT=code       print an error and exit before listening
    STANDIN_SILENT=1        never listen
    STANDIN_CORE_DEAF=1     the core ignores SIGTERM
    STANDIN_OWN_GROUP=1     the core makes a process group of its own
    STANDIN_BUSY=path       report one running request while this file exists
"""

import argparse
import json
import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

_CORE = """
import os, signal, time
if os.environ.get("STANDIN_CORE_DEAF"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.environ.get("STANDIN_OWN_GROUP"): os.setpgid(0, 0)
print("(EngineCore pid=1) INFO 01-01 00:00:00 [core.py:1] Initializing a V1 LLM engine (v0)", flush=True)
time.sleep(600)
"""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    names: list[str]

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    names: list[str]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self._say(200, b"")
        elif self.path == "/metrics":
            busy = Path(os.environ.get("STANDIN_BUSY", "/nonexistent")).exists()
            self._say(200, f'vllm:num_requests_running{{engine="0"}} {float(busy)}\n'.encode())
        elif self._is_allowed():
            self._say(200, json.dumps({"data": [{"id": name} for name in self.server.names]}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self._is_allowed():
            self._say(200, b'{"choices": [{"text": "."}]}')

    def _is_allowed(self):
        allowed = self.headers["authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}"
        if not allowed:
            self._say(401, b'{"error": "Unauthorized"}')
        return allowed

    def _say(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--model")
    flags.add_argument("--uds")
    flags.add_argument("--port", type=int)
    flags.add_argument("--served-model-name", nargs="+")
    chosen, _ = flags.parse_known_args()
    print("(APIServer pid=1) INFO 01-01 00:00:00 [api_utils.py:1] non-default args: {}", flush=True)
    if code := os.environ.get("STANDIN_EXIT"):
        print("ValueError: told to exit", file=sys.stderr, flush=True)
        sys.exit(int(code))
    core = subprocess.Popen([sys.executable, "-S", "-c", _CORE])
    signal.signal(signal.SIGTERM, lambda *_: (core.terminate(), os._exit(0)))
    if os.environ.get("STANDIN_SILENT"):
        time.sleep(600)
    server = _Server(chosen.uds, _Answers) if chosen.uds else _Tcp(("127.0.0.1", chosen.port), _Answers)
    server.names = chosen.served_model_name
    print("INFO:     Application startup complete.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
