"""Files on disk: NumPy arrays, pictures and prepared sets; reading and checking them."""
