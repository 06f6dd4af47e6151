"""Layers: recipe to content-addressed store to a sandbox's lower layers."""
