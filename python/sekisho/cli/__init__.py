"""The command line: one command per file, assembled in app.py. It translates and decides nothing."""
