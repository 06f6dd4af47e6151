"""Training data from trajectories."""

from swegym.data.pairs import PairSet, make_pairs

__all__ = ["PairSet", "make_pairs"]
