"""Picture files to pixels and back (codec), and pixels to the training size and back (geometry)."""
