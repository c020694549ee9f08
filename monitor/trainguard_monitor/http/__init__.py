"""The HTTP surface: an ASGI application over `table.Monitor`, and a server for it in a thread of its own.

Prometheus's paths and envelope where there is one of Prometheus's, ours beside them; docs/api.md shows each. What
reads is in `prometheus_api`, `reading` and `events`. Nothing here runs on the daemon's thread: snapshots are made
in the server's, files are read in worker threads.
"""
