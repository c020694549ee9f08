"""``python -m trainguard_monitor``, the same as ``trainguard``."""

from trainguard_monitor.cli import main

if __name__ == "__main__":
    main(prog_name="trainguard")
