"""One benchmark a module: `run()` prints a table and returns named scalars."""
