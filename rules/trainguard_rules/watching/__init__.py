"""One rule at work: its expressions, its state as Prometheus has it, its memory, and whether its actions helped."""
