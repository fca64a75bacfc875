"""What is minimised and what is reported: losses on logits, and scores from a confusion matrix."""
