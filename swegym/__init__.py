"""Gymnasium environments that wrap a sandboxed repository per task."""
