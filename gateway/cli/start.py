"""What `cascadia up` shows while gateway and engines start: the screen, then when the first answer can be had."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import httpx

from gateway.cli.address import open_async_client
from gateway.cli.instance import InstanceRecord, read_record
from gateway.cli.output import Voice
from gateway.cli.screen import Screen
from gateway.cli.setting import Setting
from gateway.cli.upstreams import configured_models, first_models

_LOOK_EVERY_S: Final = 0.1
_ASK_EVERY_S: Final = 0.25
_ANSWER_WITHIN_S: Final = 5.0


class Start:
    """Follows one start. Progress of the workers is said by the engine supervisor itself, on the same terminal."""

    def __init__(self, setting: Setting, voice: Voice, new_key: str | None) -> None:
        self._setting = setting
        self._voice = voice
        self._new_key = new_key

    async def show(self) -> None:
        """Show the screen once the gateway listens, and a line for each model when the gateway can call it."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for line in (await self._screen(await self._listening())).lines():
            self._voice.tell(line)
        waiting = configured_models(self._setting.config)
        while waiting:
            # The record anew each time: a gateway that is started again may listen elsewhere.
            gateway = await self._listening()
            for model in await _callable(gateway.admin_url, waiting):
                waiting.remove(model)
                self._voice.say(f"{model}  ready after {clock() - began:.0f} s")
            await asyncio.sleep(_ASK_EVERY_S)

    async def _listening(self) -> InstanceRecord:
        """The gateway's record once it says where it listens."""
        while True:
            record = read_record(self._setting.paths.run, "gateway")
            if record is not None and record.url:
                return record
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _screen(self, gateway: InstanceRecord) -> Screen:
        return Screen(
            url=gateway.url,
            models=await first_models(self._setting.config),
            needs_key=self._setting.config.auth.mode == "keys",
            new_key=self._new_key,
            admin_url=gateway.admin_url,
            admin_token=token if (token := self._setting.paths.first_admin_token).exists() else None,
        )


async def _callable(admin_url: str, models: Sequence[str]) -> list[str]:
    """Those of `models` for which the gateway has a replica; none while it does not answer."""
    counts: Any = {}
    with contextlib.suppress(httpx.HTTPError):
        async with open_async_client(admin_url, timeout=_ANSWER_WITHIN_S) as client:
            counts = (await client.get("/readyz")).json()["models"]
    return [model for model in models if counts.get(model, {}).get("ready")]
