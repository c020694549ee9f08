"""What is measured in a step, how it is read without waiting, and what measuring may cost."""
