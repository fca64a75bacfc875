"""What is wrong with a dataset, found before anything is built on it; reports, and changes nothing."""
