"""From a trained model to scores at the training size and at native size, sample pictures and the report page."""
