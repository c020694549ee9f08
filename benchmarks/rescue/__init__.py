"""The rescue benchmark: which guard saves which run, and which leaves a healthy one alone.

A matrix of workloads, faults, guards and seeds. A *cell* is one training: a workload, struck by one fault, watched
by one guard, from one seed. `training` is what all cells have in common; a workload, a fault and a guard are each
one short file in a folder of that name, found by being there. `matrix` runs the cells, `scores` says what came of
them, `report` shows it.
"""
