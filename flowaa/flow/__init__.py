"""The density: architecture, subnets, flow, base distributions, likelihood, memory and cost."""
