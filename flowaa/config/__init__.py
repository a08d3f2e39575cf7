"""From a ConfigDict to typed fields and modules: the only reader of a config.

A file a subject: each has the fields of its block with their types and ranges, and what is built
from them. Training and `load_run` build the same things from the same config.
"""
