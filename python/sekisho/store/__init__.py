"""The database layer: SQLite by default, PostgreSQL by URL.

Start with ``store.py`` (``Store`` begins transactions), ``transaction.py`` (reads, writes and announces changes) and
``tables.py`` (definitions that all tables share). The ``store.py`` of each feature has its tables and statements.
"""
