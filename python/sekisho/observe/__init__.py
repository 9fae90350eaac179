"""The log of the server, and the states of its threads."""
