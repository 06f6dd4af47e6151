"""Trainers. One algorithm, one file, readable top to bottom.

From files: sft.py, dpo.py, reward.py. From attempts as they come: grpo.py, guide_grpo.py, sdpo.py, vpd.py, hybrid.py.

Shared: batch.py (rows of token ids), losses.py, advantages.py, divergences.py (pure functions), common.py (an update,
and the loop of the former), online.py (the loop of the latter: sampler.py, supply.py, samples.py).
Nothing outside this room imports it before a verb of it runs, because it imports torch.
"""
