"""Archetypes in the latent space of a flow: heads, losses, tangent distance, warm start."""
