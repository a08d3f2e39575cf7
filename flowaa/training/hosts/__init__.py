"""Many processes that train one run: how they meet, agree and end.

A host is a process of `jax.distributed`, and the main host is process 0. All hosts run the same
program; the main one alone reads and writes the run's folder, and tells the others what it found.
Without `jax.distributed` there is one host, the main one, and nothing here costs anything.
"""
