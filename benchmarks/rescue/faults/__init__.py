"""The faults: each file here has one `Fault` class or several, each with a ``name``."""
