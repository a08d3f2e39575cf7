"""From a ConfigDict to typed fields and modules: the only reader of a config."""
