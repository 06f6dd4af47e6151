"""The frozen start of a training run: a second copy of the model as it was loaded, for KL terms and fixed priors."""

from __future__ import annotations

from swegym.train import common
from swegym.train.model import Loaded, TokenScorer
from swegym.train.parallel import World
from swegym.train.settings import TrainerConfig


def frozen_start(config: TrainerConfig, world: World) -> TokenScorer:
    """Scores with the weights that training began with, whatever has been trained since."""
    loaded: Loaded = common.load(config, world)
    loaded.module.requires_grad_(False)
    scorer = TokenScorer(loaded)
    common.spread(scorer, loaded, world)
    return scorer
