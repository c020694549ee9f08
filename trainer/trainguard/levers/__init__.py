"""What actions change about a run: overlays that are on only while the optimizers step, and knobs."""
