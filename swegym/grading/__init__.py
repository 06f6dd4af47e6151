"""Patch in, verdict out: extraction, sealed test run, integrity rules."""
