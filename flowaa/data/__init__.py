"""Data sets: loading, splits, and the batches drawn from them."""
