"""Reads, checks and signs certificates and keys. Does not use the registry, the database or the command line."""
