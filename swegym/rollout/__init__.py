"""Episodes in numbers: rollout, groups, Record, run folder, resume."""

from swegym.rollout.collect import Event, collect
from swegym.rollout.episode import rollout
from swegym.rollout.folder import RunFolder
from swegym.rollout.record import Record
from swegym.rollout.run_config import RunConfig

__all__ = ["Event", "Record", "RunConfig", "RunFolder", "collect", "rollout"]
