"""The language of provisioning templates, which describe the resources of a device. No store, no side effects."""
