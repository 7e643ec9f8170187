"""cases -> records: ask a model every case of a suite."""
