"""The workloads: each file here has one class with ``name``, ``tuned`` and ``make(seed)``, as `WORKLOAD`."""
