"""Training: set-up, schedule, the loop, and checkpoints that a killed run continues from bit for bit."""
