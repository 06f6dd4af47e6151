"""Running, isolated machines made from images."""
