"""faceseg: from a face-parsing dataset to a trained, honestly measured segmentation model."""
