"""What a run says: counts, rates with their uncertainty, and comparisons. Pure functions; the cli draws the tables."""

from swegym.report.statistics import Estimate, mean_pass_at_k, pass_at_k, wilson
from swegym.report.summary import RunSummary, TaskOutcome, flips, summarise

__all__ = ["Estimate", "RunSummary", "TaskOutcome", "flips", "mean_pass_at_k", "pass_at_k", "summarise", "wilson"]
