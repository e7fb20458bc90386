"""Starts engine workers on this machine and keeps them running: a process of its own, never part of the gateway."""
