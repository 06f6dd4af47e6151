"""Bridges: a swegym env where other training and evaluation loops expect one of theirs.

One file for each of the others; only importing that file imports the other side. None changes what an episode is:
tools, limits, grading and verdicts are the env's own.
"""
