"""The registry: CA certificates, certificates, things, principals, policies. It decides; the store remembers.

Start with ``model.py`` (what there is) and ``ports.py`` (what is needed from outside). Nothing here knows HTTP or SQL.
"""
