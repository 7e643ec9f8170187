"""Video decoders with one interface; tests check that they return the same frames."""
