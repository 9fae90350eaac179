"""How rows are kept: SQLite by default, PostgreSQL by URL.

Start with ``store.py`` (``Store`` begins transactions), ``transaction.py`` (what one reads, writes and announces) and
``tables.py`` (what all tables have in common). The tables themselves and their statements are in the ``store.py`` of
each feature. Nothing here decides anything.
"""
