"""The small routes that only tell something."""

from __future__ import annotations

from typing import Any

from engines.simulated import wording
from engines.simulated.batch import Batch
from engines.simulated.metering import CONTENT_TYPE, Metering
from engines.simulated.options import VERSION, Options
from engines.simulated.visit import Visit, World


class Pages:
    """Health, version, models, metrics, tokens."""

    def __init__(self, options: Options, world: World, batch: Batch, metering: Metering) -> None:
        self._options = options
        self._world = world
        self._batch = batch
        self._metering = metering

    def empty(self, visit: Visit) -> None:
        """Answer 200 with nothing."""
        visit.record.close("finished", self._world.timers.time())
        visit.wire.reply(200, b"", content_type=None)

    def version(self, visit: Visit) -> None:
        """Tell the version."""
        self._tell(visit, {"version": VERSION})

    def load(self, visit: Visit) -> None:
        """Tell the load that is tracked: none."""
        self._tell(visit, {"server_load": 0})

    def metrics(self, visit: Visit) -> None:
        """Give the metrics page."""
        visit.record.close("finished", self._world.timers.time())
        page = self._metering.page(self._options.names[0], self._batch)
        visit.wire.reply(200, page, content_type=CONTENT_TYPE)

    def models(self, visit: Visit) -> None:
        """List the models."""
        created = int(self._world.wall_clock())
        self._tell(visit, {"object": "list", "data": [self._card(n, created) for n in self._options.names]})

    def _card(self, name: str, created: int) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{self._world.rng.getrandbits(64):016x}",
            "object": "model_permission",
            "created": created,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": self._options.model,
            "parent": None,
            "max_model_len": self._options.max_model_len,
            "permission": [permission],
        }

    def tokenize(self, visit: Visit) -> None:
        """Give the tokens of a prompt or of messages."""
        raw = visit.json()
        messages = raw.get("messages") if isinstance(raw, dict) else None
        text = wording.rendered(messages) if messages else str(raw.get("prompt", ""))
        pieces = wording.split_tokens(text)
        told = {
            "count": len(pieces),
            "max_model_len": self._options.max_model_len,
            "tokens": [wording.token_id(p) for p in pieces],
            "token_strs": pieces if raw.get("return_token_strs") else None,
        }
        self._tell(visit, told)

    def _tell(self, visit: Visit, value: object) -> None:
        visit.reply_json(value, self._world.timers.time())
