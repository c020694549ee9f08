"""The guards: each file here has one or several, each with a ``name``, ``only_stops`` and ``watch(training, folder)``.

The published ones are our own re-implementations from what their projects document, with their exact numbers.
"""
