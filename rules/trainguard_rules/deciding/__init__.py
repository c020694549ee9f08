"""From a rule that fires, or a person who asks, to an intervention and what became of it."""
