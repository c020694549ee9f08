"""``trainguard demo``: one training three times over, to see what a guard is good for."""
