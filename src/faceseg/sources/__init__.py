"""Where pictures come from: descriptions of datasets, fetching into one archive, and what belongs together in it."""
