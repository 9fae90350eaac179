"""The command line: one command per file, assembled in app.py. They convert input and output, and contain no rules."""
