"""The update of a step: unscaled, clipped and judged, then made or dropped."""
