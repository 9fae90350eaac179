"""Opening an empty database, an older one and a newer one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, PrimaryKeyConstraint, UniqueConstraint, text

from sekisho.certificates.store import CertificateRows
from sekisho.store import migrations, schema_version, tables
from sekisho.store.engines import Engines, engines
from sekisho.store.errors import ForeignDatabase, NewerSchema
from sekisho.store.store import Store
from sekisho.tags.store import TagRows
from tests.postgres import PostgreSQL
from tests.store.builders import HOME, certificate, certificate_id

ROOT = Path(__file__).parents[2]


def opened(url: str) -> Engines:
    made = engines(url)
    made.prepare()
    return made


def description(connection: Connection) -> Any:
    """Return what the database knows of its tables, independent of the order of their creation."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        # A table's statement lists its constraints in any order, and columns that were added behind them.
        return {
            row.name: sorted(
                re.sub(r"\s+", " ", part).strip(" ()") for part in re.split(r",(?![^(]*\))", row.sql.partition("(")[2])
            )
            for row in rows
        }
    return [
        sorted(map(tuple, connection.execute(text(query))))
        for query in (
            "SELECT table_name, column_name, data_type, is_nullable, is_identity, identity_generation,"
            " collation_name, column_default FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace",
        )
    ]


def test_the_named_revision_is_that_of_the_newest_migration() -> None:
    assert migrations.head() == schema_version.HEAD


def test_migrating_an_empty_database_makes_the_schema_of_the_tables(url: str) -> None:
    made = opened(url)
    with made.writing.begin() as connection:
        migrations.upgrade(connection)
        assert compare_metadata(MigrationContext.configure(connection), tables.load_all(connection.dialect.name)) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_fresh_database_is_the_same_as_a_migrated_one(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("fresh", "migrated")]
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        urls = [server.new_database(), server.new_database()]
    with Store(urls[0], lambda _: None):
        pass
    with opened(urls[1]).writing.begin() as connection:
        migrations.upgrade(connection)
    with opened(urls[0]).reading.begin() as fresh, opened(urls[1]).reading.begin() as migrated:
        assert description(fresh) == description(migrated)
        assert schema_version.current(fresh) == schema_version.current(migrated) == schema_version.HEAD


def test_opening_again_changes_nothing(url: str) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate())
    with Store(url, lambda _: None) as store, store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == certificate()


def _with_another_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *statements: str) -> None:
    """Add a migration, as a next version of Sekisho would have it."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.FOLDER, folder)
    lines = "\n".join(f"    op.execute({statement!r})" for statement in statements)
    (folder / "versions" / "next.py").write_text(
        f'from alembic import op\nrevision = "next"\ndown_revision = "{schema_version.HEAD}"\ndef upgrade():\n{lines}\n'
    )
    monkeypatch.setattr(migrations, "FOLDER", folder)
    monkeypatch.setattr(schema_version, "HEAD", "next")


def test_an_older_database_is_migrated_and_keeps_its_rows(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate())
    _with_another_migration(monkeypatch, tmp_path, "ALTER TABLE certificates ADD COLUMN colour TEXT DEFAULT 'blue'")
    with Store(url, lambda _: None) as store, store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == certificate()
    with opened(url).reading.begin() as connection:
        assert schema_version.current(connection) == "next"
        assert connection.execute(text("SELECT colour FROM certificates")).scalar() == "blue"


def test_a_database_of_an_unreleased_build_is_left_alone(url: str) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate())
    with opened(url).writing.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    with pytest.raises(ForeignDatabase, match="of a build before the first release"), Store(url, lambda _: None):
        pass
    with opened(url).writing.begin() as connection:
        assert schema_version.current(connection) == "0004"
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": schema_version.HEAD})
    with Store(url, lambda _: None) as store, store.read() as tx:
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == certificate()


def test_a_failed_migration_leaves_the_database_unchanged(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(url, lambda _: None) as store, store.write() as tx:
        CertificateRows(tx).add(certificate())
    with monkeypatch.context() as patch:
        _with_another_migration(patch, tmp_path, "DROP TABLE tags", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(Exception, match="nowhere"), Store(url, lambda _: None):
            pass
    with Store(url, lambda _: None) as store, store.read() as tx:
        assert TagRows(tx).get(HOME, "arn:a") == {}
        assert CertificateRows(tx).get(HOME, certificate_id(1)) == certificate()


def test_a_database_of_a_newer_version_is_left_alone_and_named(url: str) -> None:
    with Store(url, lambda _: None):
        pass
    with opened(url).writing.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        before = description(connection)
    store = Store(url, lambda _: None)
    with pytest.raises(NewerSchema, match=r"'9999'.*Upgrade Sekisho") as failure:
        store.open()
    store.close()
    assert store.place in str(failure.value)
    with opened(url).reading.begin() as connection:
        assert description(connection) == before
        assert schema_version.current(connection) == "9999"


def test_two_servers_may_create_the_schema_at_once(url: str) -> None:
    program = "import sys; from sekisho.store.store import Store; Store(sys.argv[1], print).open()"
    started = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0, 0]


def test_alembic_is_imported_only_to_migrate(url: str) -> None:
    """Importing it takes longer than the rest of opening."""
    program = (
        "import sys; from sekisho.store.store import Store; Store(sys.argv[1], print).open();"
        "sys.exit('alembic' in sys.modules)"
    )
    for _ in ("made", "opened again"):
        assert subprocess.run([sys.executable, "-c", program, url], timeout=60, check=False).returncode == 0


def test_a_developer_can_run_alembic_on_a_database(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alembic", "-x", f"url=sqlite:///{tmp_path}/own.db"]
    for arguments in (["upgrade", "head"], ["check"]):
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_every_foreign_key_has_an_index() -> None:
    for table in tables.load_all("sqlite").sorted_tables:
        prefixes = [[column.name for column in index.columns] for index in table.indexes]
        prefixes += [
            [column.name for column in constraint.columns]
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint)
        ]
        for key in table.foreign_key_constraints:
            wanted = list(key.column_keys)
            assert any(prefix[: len(wanted)] == wanted for prefix in prefixes), f"{table.name}: {wanted}"
