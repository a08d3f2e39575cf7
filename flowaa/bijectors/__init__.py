"""Bijectors: the invertible blocks a flow is built of."""
