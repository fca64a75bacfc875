"""From cached pixels to batches: two straight chains, and the augmentation that runs inside the compiled graph."""
