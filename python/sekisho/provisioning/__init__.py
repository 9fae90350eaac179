"""How devices come into the registry by themselves."""
