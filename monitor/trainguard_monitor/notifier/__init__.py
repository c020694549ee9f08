"""Alertmanager is told of every guard that fires.

`firing` notices that a guard of one run began to fire, or is over; `notifier` hands that to one `courier` for each
Alertmanager, a thread; what that one still has to say is kept in its `outgoing`, and goes out through its `endpoint`.
"""
