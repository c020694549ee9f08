"""What the monitor shows of a live run: frozen snapshots, and the counts they are made from."""
