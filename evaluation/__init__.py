"""Benchmarks and the metrics they need."""
