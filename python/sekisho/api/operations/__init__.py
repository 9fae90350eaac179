"""The operations, by subject: one decorated function each. See `sekisho.api.operation`."""
