"""Between the training and whoever judges it: telemetry out, control in, and the seat in the run directory."""
