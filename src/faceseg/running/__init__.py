"""How a stage runs and ends: its locks, its workers, signals, a full disk. No output depends on what is here."""
