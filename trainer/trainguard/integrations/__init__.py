"""Guards for training loops that a framework runs. One file a framework; none is imported unless you import it."""
