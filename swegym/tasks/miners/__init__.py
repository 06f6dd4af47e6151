"""Miners: programs that look for tasks where users have code. They write recipes, and say why the rest became none."""
