"""Training of deep archetypes: options, start, bottleneck and objective."""
