"""What the guard costs per step, beside loops that do without: `loops` are compared, `paired` is how."""
