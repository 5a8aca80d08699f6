"""Making models smaller: distillation, pruning of structure, weights and vocabulary."""
