"""The server: its settings, the parts it is built of, start and stop, health."""
