"""Run by torchrun-like variables: trains as the arguments say, for test_parallel.py."""

import json
import sys

import torch

from swegym.train.dpo import DpoConfig, dpo
from swegym.train.sft import SftConfig, sft

if __name__ == "__main__":
    torch.set_num_threads(1)
    kind, settings = sys.argv[1], json.loads(sys.argv[2])
    if kind == "dpo":
        dpo(DpoConfig.model_validate(settings))
    else:
        sft(SftConfig.model_validate(settings))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
