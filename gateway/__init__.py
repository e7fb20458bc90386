"""The gateway process: from the listening socket to the engine and back."""

from gateway import native

IS_NATIVE = native.use()
"""Whether the hot path runs compiled."""
