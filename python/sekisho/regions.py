"""The regions that a server serves: those of AWS, and a site's own that the setting ``regions`` names.

A region comes in with a request's signature, with the command line and with the environment. Each of them asks here, so
that nothing is made for a region that is not in the list: no endpoint, no server certificate, no realm of the gateway.

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
"""The form of a region's name, which is a part of endpoints' names and of ARNs."""

MAX_OWN_REGIONS: Final = 64
"""How many regions the setting ``regions`` may add: each has a server certificate of its own."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions served. ``own``: what the setting ``regions`` adds to those of AWS."""

    own: tuple[str, ...] = ()
    _descriptions: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_descriptions", {**_aws_regions(), **dict.fromkeys(self.own, "")})

    def __contains__(self, region: object) -> bool:
        return region in self._descriptions

    def __iter__(self) -> Iterator[str]:
        return iter(self._descriptions)

    def why_not(self, region: str) -> str:
        """One sentence about a name that is none of them, with the nearest that is, and the setting that adds one."""
        near = self._nearest(region)
        suggestion = f" Did you mean {near}?" if near else ""
        own = f" A region of your own is named in the setting regions: {setting([region])}." if _is_name(region) else ""
        return f"{region!r} is no region of AWS, and none of the setting regions.{suggestion}{own}"

    def _nearest(self, region: str) -> str | None:
        text = region.lower()
        close = difflib.get_close_matches(text, self._descriptions, n=1)
        if close:
            return close[0]
        # botocore describes ap-northeast-1 as "Asia Pacific (Tokyo)".
        words = {name: re.findall(r"[a-z]+", place.lower()) for name, place in self._descriptions.items()}
        return next((name for name, place in words.items() if text in place), None)


def setting(regions: Iterable[str]) -> str:
    """How the setting ``regions`` is written in ``sekisho.toml`` and in the environment, with these."""
    names = list(regions)
    return f"regions = {json.dumps(names)} in sekisho.toml, or SEKISHO_REGIONS={','.join(names)}"


def _is_name(region: str) -> bool:
    return NAME.fullmatch(region) is not None


@cache
def _aws_regions() -> Mapping[str, str]:
    """Name and description of each region of each partition, without ``aws-global`` and its like."""
    spec = importlib.util.find_spec("botocore")
    # Read as a file: importing botocore costs more than the rest of a start.
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec is not None else Path()
    partitions = json.loads((folder / "data" / "partitions.json").read_bytes())["partitions"]
    return {
        name: str(facts.get("description", ""))
        for partition in partitions
        for name, facts in partition["regions"].items()
        if re.fullmatch(partition["regionRegex"], name)
    }
