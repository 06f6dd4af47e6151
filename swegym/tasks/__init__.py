"""Tasks: recipes, sources, the builder that makes them, and their validation."""
