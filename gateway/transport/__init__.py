"""Talking to engines on the hot path: callbacks and no tasks, except for making a connection."""

from gateway.transport.base import Loss, Sending, Sink, Transport
from gateway.transport.http1 import Http1
from gateway.transport.page import Page

__all__ = ["Http1", "Loss", "Page", "Sending", "Sink", "Transport"]
