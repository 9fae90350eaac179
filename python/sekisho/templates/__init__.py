"""Provisioning templates: the language in which it is said what a new device gets. No store, no side effects."""
