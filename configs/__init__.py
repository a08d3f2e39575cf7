"""One experiment a file; default.py documents every key."""
