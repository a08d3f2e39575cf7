"""The commands: each one turns flags into a locked config and makes one call."""
