"""Messages for the operator: where they go, how they read, and that none is lost while the receiver is away."""
