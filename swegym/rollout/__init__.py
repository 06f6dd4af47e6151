"""Episodes in numbers: rollout, groups, Record, run folder, resume."""
