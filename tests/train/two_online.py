"""Run with torchrun's variables: online training on the toy, for test_online_parallel.py."""

import json
import sys
from unittest import mock

import torch
from spoken import make_collect, rate

from swegym.train.grpo import GrpoConfig, grpo
from swegym.train.vpd import VpdConfig, vpd

KINDS = {"grpo": (grpo, GrpoConfig), "vpd": (vpd, VpdConfig)}
IDS = [f"spoken-{number}" for number in range(6)]


def train(kind: str, settings: dict) -> None:
    trainer, configured = KINDS[kind]
    with mock.patch("swegym.train.online.tasks_of_split", lambda *a, **k: IDS):
        trainer(configured.model_validate(settings), collect=make_collect(), rate=rate)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kind, settings in json.loads(sys.argv[1]):
        train(kind, settings)
    torch.distributed.destroy_process_group()
