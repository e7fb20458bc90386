"""Counts that several gateways share, in a Redis or Valkey server."""
