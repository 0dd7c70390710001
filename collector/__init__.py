"""The collector: keeps what the agents measured, says what it means, shows it."""
