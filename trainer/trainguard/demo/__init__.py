"""What ``trainguard demo`` trains: a real classifier, a real recipe, real faults."""
