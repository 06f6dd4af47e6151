"""Teachers, the Guidance wrapper, leak checks, and taking hints out again."""
