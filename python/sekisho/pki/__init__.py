"""Certificates and keys: reading, judging, signing. Knows no registry, no database and no command line."""
