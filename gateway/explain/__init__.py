"""What became of each of the last calls, kept in memory to be asked about."""

from gateway.explain.record import Record
from gateway.explain.recorder import Page, Recorder

__all__ = ["Page", "Record", "Recorder"]
