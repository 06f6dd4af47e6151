"""Attacks on graders: wrong patches that aim at "resolved", right ones that look odd, and who pays or refuses them."""

from swegym.redteam.attack import ATTACKS, CLASSES, FIXES, Attack, Fix, load_attacks, load_fixes
from swegym.redteam.campaign import Outcome, campaign, summarise, targets, trials
from swegym.redteam.graders import GRADERS, make_grader
from swegym.redteam.ground import Ground

__all__ = [
    "ATTACKS",
    "CLASSES",
    "FIXES",
    "GRADERS",
    "Attack",
    "Fix",
    "Ground",
    "Outcome",
    "campaign",
    "load_attacks",
    "load_fixes",
    "make_grader",
    "summarise",
    "targets",
    "trials",
]
