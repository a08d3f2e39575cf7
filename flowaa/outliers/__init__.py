"""Where extremes meet a density: outliers drawn in its latent space, and mixtures of them."""
