"""Provisioning: the ways in which devices are registered automatically, one at a time or in bulk."""
