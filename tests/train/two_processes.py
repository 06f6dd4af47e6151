"""Run with torchrun's variables: trains by DPO once for each settings given, for test_parallel.py."""

import json
import sys

import torch

from swegym.train.dpo import DpoConfig, dpo

if __name__ == "__main__":
    torch.set_num_threads(1)
    for settings in json.loads(sys.argv[1]):
        dpo(DpoConfig.model_validate(settings))
    torch.distributed.destroy_process_group()
