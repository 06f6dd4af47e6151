"""Students: (messages, tools) -> assistant message."""
