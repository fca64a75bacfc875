"""What lies on disk between the stages: packs of PNGs, splits that never part a clip, and memory-mapped shards."""
