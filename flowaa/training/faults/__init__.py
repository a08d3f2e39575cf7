"""What goes wrong in training: steps that cannot be taken, divergence, signals."""
