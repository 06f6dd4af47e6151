"""What the policy may call inside the sandbox."""
