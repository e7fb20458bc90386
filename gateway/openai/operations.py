"""The inference API as a table. A new operation is a new row."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.call import Operation, Permission

CHAT = Operation("chat", b"POST", b"/v1/chat/completions", Permission.INFER)
COMPLETIONS = Operation("completions", b"POST", b"/v1/completions", Permission.INFER)

MODELS = "models"
"""Names the list of models where a key is restricted to operations."""
USAGE = "usage"
"""Names the usage of the caller's team, likewise."""

OPERATIONS: Mapping[tuple[bytes, bytes], Operation] = {
    (operation.method, operation.path): operation for operation in (CHAT, COMPLETIONS)
}
"""(method, raw path) → operation. A request that is no key here is not an inference request."""
