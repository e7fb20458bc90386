"""What is wrong with the gateway itself is not held against its engines (F49)."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import psutil

from tests.faults.asking import body
from tests.faults.processes import EngineProcess, in_front_of
from tests.support.peer import Peer, request

DESCRIPTORS = 256
ASK = request(body(tokens=2, stream=False))


async def test_running_out_of_descriptors_is_no_failure_of_an_engines(
    short_folder: Path, tmp_path: Path
) -> None:
    engine = EngineProcess(short_folder, "blameless", "--sim-tokens", "2")
    with in_front_of([engine], tmp_path, descriptors=DESCRIPTORS) as gateway:
        process = psutil.Process(gateway.pid)
        kept = await Peer.connect(gateway.address)
        assert (await kept.ask(request(b"", method="GET", path="/v1/models"))).status == 200
        process.rlimit(resource.RLIMIT_NOFILE, (gateway.descriptors, DESCRIPTORS))
        answer = await kept.ask(ASK)
        process.rlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        [replica] = await asyncio.to_thread(gateway.replicas)
        assert not replica["ejected"]
        assert answer.status == 503
        assert (await kept.ask(ASK)).status == 200
        kept.close()
