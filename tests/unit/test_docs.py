"""The documentation agrees with the program."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest

from scripts import reference_pages
from scripts.bounds import BOUNDS, Bound
from sekisho import _sekisho
from sekisho.observe.events import LogEvent
from sekisho.server.settings import Settings
from sekisho.templates.error import TemplateError
from sekisho.templates.template import parse

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.ja.md")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        ROOT / "fuzz" / "README.md",
    ]
)
ARCHITECTURE = sorted((ROOT / "docs" / "architecture").glob("*.md"))

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", sorted(reference_pages.PAGES))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    on_disk = (reference_pages.FOLDER / name).read_text(encoding="utf-8")
    assert on_disk == reference_pages.PAGES[name](), f"docs/{name} is out of date: run `make reference`"


def test_every_setting_is_on_the_page_of_settings_with_its_meaning() -> None:
    page = reference_pages.settings()
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| `")}
    assert set(rows) == {f"`{field.name}`" for field in fields(Settings)}
    assert all(len(row.split("|")[5].strip()) > 10 for row in rows.values())


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.source)
def test_every_bound_has_an_existing_test(bound: Bound) -> None:
    assert bound.value
    assert _has_test(bound.test), f"{bound.test} is not there"


def test_every_test_on_the_page_of_security_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|crates)/[\w/.-]+::\w+)`", page)
    assert len(named) > 20
    assert [each for each in named if not _has_test(each)] == []


def test_every_reason_of_a_refusal_is_on_its_page() -> None:
    page = reference_pages.refusals()
    for name, sentence in _sekisho.refusal_reasons():
        assert f"| `{name}` | {sentence} |" in page


def test_every_event_of_the_log_is_on_its_page_with_its_fields() -> None:
    rows = {
        cells[1].strip(): cells for row in reference_pages.log_events().splitlines() if len(cells := row.split("|")) > 5
    }
    for event in LogEvent:
        _, _, level, sentence, named, _ = rows[f"`{event.code}`"]
        assert (level.strip(), sentence.strip()) == (logging.getLevelName(event.level).lower(), event.sentence)
        assert set(re.findall(r"`(\w+)`", named)) == set(event.fields)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_a_readme_has_every_command(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for path, command in reference_pages.commands():
        if getattr(command, "commands", None):
            continue
        words = path.split()
        # `sekisho account create`, `list`: a further command of a group may be named by its last word.
        assert path in text or (" ".join(words[:-1]) in text and f"`{words[-1]}`" in text), path


def test_every_command_has_json_output_where_documented() -> None:
    for path, command in reference_pages.commands():
        if not getattr(command, "commands", None):
            assert any("--json" in option.opts for option in command.params), path


def test_both_readmes_have_the_same_headings() -> None:
    english, japanese = (_headings(readme) for readme in READMES)
    assert [level for level, _ in english] == [level for level, _ in japanese]


def test_both_readmes_have_the_same_commands() -> None:
    english, japanese = (_typed_commands(readme) for readme in READMES)
    assert english == japanese


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    for target in _links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is not there"
        if anchor:
            assert anchor in {_anchor(title) for _, title in _headings(there)}, f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in _links(page)]
    lost = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")} - {
        str(page.relative_to(ROOT)) for page in reached
    }
    assert not lost


def test_every_dependency_is_on_the_page_of_dependencies() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["dependencies"]
    names = [re.split(r"[\[<>=]", requirement)[0] for requirement in python]
    names += [name for name, source in rust.items() if not (isinstance(source, dict) and "path" in source)]
    missing = [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page)]
    assert not missing


@pytest.mark.parametrize("library", sorted(ROOT.glob("crates/*/src/lib.rs")), ids=lambda path: path.parts[-3])
def test_the_map_of_a_crate_names_its_modules(library: Path) -> None:
    source = library.read_text(encoding="utf-8")
    told = "\n".join(line for line in source.splitlines() if line.startswith("//!"))
    modules = re.findall(r"^(?<!#\[cfg\(test\)\]\n)(?:pub )?mod (\w+);", source, re.MULTILINE)
    # The Python module's crate has files named after what they convert.
    if library.parts[-3] != "py":
        assert [name for name in modules if not re.search(rf"\b{name}\b", told)] == []


@pytest.mark.parametrize("page", ARCHITECTURE, ids=lambda page: page.name)
def test_every_source_file_on_a_page_exists(page: Path) -> None:
    places = [*ROOT.glob("crates/*/src"), *ROOT.glob("python/sekisho/*/"), ROOT / "python" / "sekisho", ROOT]
    named = re.findall(r"`([\w/]+\.(?:rs|py|pyi|json))`", page.read_text(encoding="utf-8"))
    assert [file for file in named if not any((place / file).exists() for place in places)] == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "docs" / "compatibility.md", ROOT / "docs" / "provisioning" / "README.md", *ARCHITECTURE],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_reason_on_a_page_exists(page: Path) -> None:
    reasons = {name for name, _ in _sekisho.refusal_reasons()}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z0-9]+)+)`", page.read_text(encoding="utf-8")))
    assert named - {"AWS_ENDPOINT_URL", "SNI_ONLY"} <= reasons


@pytest.mark.parametrize(
    "body",
    [
        '{\n  "Parameters": {},\n  "Resources": {\n    "thing": {\n      "Type": "AWS::IoT::Thing",\n'
        '      "Properties": {\n        "ThingName": {"Ref": "SerialNumber"}\n      }\n    }\n  }\n}',
        '{\n  "Resources": {\n    "thing": {\n      "Type": "AWS::IoT::Thing",\n      "Properties": {\n'
        '        "ThingName": "a", "Colour": "red"\n      }\n    }\n  }\n}',
        '"{}"',
        '{"Parameters": {"AWS::IoT::Certificate::Country": {"Type": "String"}},\n"Resources": {"a": '
        '{"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::Country"}}}}}',
    ],
)
def test_the_guide_shows_the_errors_of_templates_unchanged(body: str) -> None:
    guide = (ROOT / "docs" / "provisioning" / "just-in-time-provisioning.md").read_text(encoding="utf-8")
    with pytest.raises(TemplateError) as raised:
        parse(body).resolve({})
    assert f"\n{raised.value}\n" in guide


def _has_test(named: str) -> bool:
    path, _, name = named.partition("::")
    file = ROOT / path
    return (
        file.is_file() and re.search(rf"\b(?:def|fn) {re.escape(name)}\(", file.read_text(encoding="utf-8")) is not None
    )


def _prose(page: Path) -> str:
    return _CODE.sub("", page.read_text(encoding="utf-8"))


def _links(page: Path) -> Iterator[str]:
    return (link for link in _LINK.findall(_prose(page)) if "://" not in link)


def _headings(page: Path) -> list[tuple[int, str]]:
    return [(len(marks), title) for marks, title in _HEADING.findall(_prose(page))]


def _typed_commands(page: Path) -> list[str]:
    """Return the commands for the reader, without comments in the page's own language."""
    blocks = _CODE.findall(page.read_text(encoding="utf-8"))
    return [line.partition(" # ")[0].rstrip() for block in blocks for line in block.splitlines()]


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
