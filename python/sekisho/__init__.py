"""Sekisho: a self-hosted IoT Core for devices whose certificates are signed by your own CA."""

__version__ = "0.1.0"
