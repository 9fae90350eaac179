"""Where the registry is kept: SQLite by default, PostgreSQL by URL. SQLAlchemy lives here and nowhere else.

Start with ``unit_of_work.py`` (``SqlStore``, one transaction as one object) and ``schema.py`` (every table). Each
other module keeps the promises of one Protocol of ``sekisho.registry.ports``. Nothing here decides anything.
"""
