"""Networks from pixels to logits: encoders by name, one file for each architecture, and build, which joins them."""
