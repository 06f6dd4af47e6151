"""Tasks: recipes, sources, the builder that makes them, and their validation."""

from swegym.tasks.task_set import TaskSet, known_task_sets, load_task_set

__all__ = ["TaskSet", "known_task_sets", "load_task_set"]
