"""Following runs: they are found, looked at when it is their turn, judged, and answered."""
