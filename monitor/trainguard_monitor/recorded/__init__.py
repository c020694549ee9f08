"""What a run directory tells afterwards, or beside a live monitor: read from its files."""
