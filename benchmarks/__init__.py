"""Benchmarks that print the figures named in the documentation."""
