"""What every HTTP survey shares: transport, retries, checks of answers, cache, columns."""
