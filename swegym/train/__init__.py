"""Trainers. One algorithm, one file, readable top to bottom: sft.py, dpo.py, reward.py.

batch.py (rows of token ids), losses.py (pure functions) and common.py (the loop around a step) are what they share.
Nothing outside this room imports it before a verb of it runs, because it imports torch.
"""
