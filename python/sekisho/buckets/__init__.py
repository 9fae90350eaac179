"""Reads the inputs of bulk registration from folders of this machine, or from an S3-compatible store."""
