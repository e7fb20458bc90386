"""The one screen of a start: where it listens, with which key, and a line to paste."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.address import base_url, curl_target

KEY_VARIABLE = "CASCADIA_API_KEY"


@dataclass(frozen=True, slots=True)
class Screen:
    """What there is to say. `new_key` is the text of a key made by this start, and shown by it alone."""

    url: str
    models: Sequence[str]
    needs_key: bool
    new_key: str | None = None
    admin_url: str | None = None
    admin_token: Path | None = None
    """The file with the first admin token. Only its place is shown: the token itself is for no screen."""

    def lines(self) -> list[str]:
        """The screen. Contains the new key: print it once and keep it nowhere."""
        place = self.url if self.url.startswith("unix:") else f"{base_url(self.url)}/v1"
        lines = ["", f"  URL      {place}", f"  API key  {self._key()}"]
        lines.append(f"  models   {', '.join(self.models) if self.models else 'none yet: cascadia models'}")
        if self.admin_url and not self.admin_url.startswith("unix:"):
            lines.append(f"  metrics  {base_url(self.admin_url)}/metrics")
        if self.admin_token is not None:
            lines.append(f"  admin    token in {self.admin_token}")
        if self.models:
            lines += ["", "  Try it:", "", curl_line(self, self.models[0])]
        return [*lines, ""]

    def _key(self) -> str:
        if not self.needs_key:
            return "not needed"
        if self.new_key:
            return f"{self.new_key}   (shown once: save it)"
        return "use the one you saved; another: cascadia keys create NAME"


def curl_line(screen: Screen, model: str) -> str:
    """One line for a POSIX shell that asks `model` a question, without any need to edit it.

    The key is in it when it was made just now; otherwise it is read from the environment.
    """
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    key = screen.new_key or f"${KEY_VARIABLE}"
    authorization = f' -H "Authorization: Bearer {key}"' if screen.needs_key else ""
    target = curl_target(screen.url, "/v1/chat/completions")
    # No quote, $ or ` can be in the body: a model's name has none (see config.schema.names.ModelName).
    return f"curl {target}{authorization} -H \"Content-Type: application/json\" -d '{body}'"
