"""Training data from trajectories."""

from swegym.data.attempts import Attempts, read_runs
from swegym.data.guards import Guards
from swegym.data.pairs import make_pairs
from swegym.data.rows import RowSet
from swegym.data.tokens import TokenRow, has_tokens, token_rows

__all__ = ["Attempts", "Guards", "RowSet", "TokenRow", "has_tokens", "make_pairs", "read_runs", "token_rows"]
