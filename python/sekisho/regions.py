"""The regions that a server serves: those of AWS, and those that the setting ``regions`` adds.

A region's name comes from a request's signature, the command line or the environment. Each is checked here, so that
an unknown region gets no endpoint, no server certificate and no realm in the gateway.

Source: the partitions of the installed botocore, ``data/partitions.json``.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
"""The form of a region's name: it is part of host names of endpoints and of ARNs."""

MAX_OWN_REGIONS: Final = 64
"""The number of regions that the setting ``regions`` may add: each has a server certificate of its own."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a server. ``own``: those that the setting ``regions`` adds to those of AWS."""

    own: tuple[str, ...] = ()
    _descriptions: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_descriptions", {**_aws_regions(), **dict.fromkeys(self.own, "")})

    def __contains__(self, region: object) -> bool:
        return region in self._descriptions

    def __iter__(self) -> Iterator[str]:
        return iter(self._descriptions)

    def why_not(self, region: str) -> str:
        """Return a message about an unknown region: the nearest known one, and the setting that adds a region."""
        near = self._nearest(region)
        suggestion = f" Did you mean {near}?" if near else ""
        own = f" To add a region of your own, set {setting([region])}." if _is_name(region) else ""
        return f"{region!r} is neither a region of AWS nor one of the setting regions.{suggestion}{own}"

    def _nearest(self, region: str) -> str | None:
        text = region.lower()
        close = difflib.get_close_matches(text, self._descriptions, n=1)
        if close:
            return close[0]
        # botocore describes ap-northeast-1 as "Asia Pacific (Tokyo)".
        words = {name: re.findall(r"[a-z]+", described.lower()) for name, described in self._descriptions.items()}
        return next((name for name, of_name in words.items() if text in of_name), None)


def setting(regions: Iterable[str]) -> str:
    """Return how to set ``regions`` to these, in ``sekisho.toml`` and in the environment."""
    names = list(regions)
    return f"regions = {json.dumps(names)} in sekisho.toml, or SEKISHO_REGIONS={','.join(names)}"


def _is_name(region: str) -> bool:
    return NAME.fullmatch(region) is not None


@cache
def _aws_regions() -> Mapping[str, str]:
    """Return descriptions by name, for each region of each partition; without global ones such as ``aws-global``."""
    spec = importlib.util.find_spec("botocore")
    # Read as a file: importing botocore takes longer than the rest of a start.
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec is not None else Path()
    partitions = json.loads((folder / "data" / "partitions.json").read_bytes())["partitions"]
    return {
        name: str(facts.get("description", ""))
        for partition in partitions
        for name, facts in partition["regions"].items()
        if re.fullmatch(partition["regionRegex"], name)
    }
