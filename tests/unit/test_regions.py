"""The list of regions."""

from __future__ import annotations

import pytest

from sekisho.regions import Regions


def test_the_regions_of_every_partition_of_aws_are_in_the_list_and_the_global_ones_are_not() -> None:
    regions = Regions()
    for region in ("us-east-1", "eu-central-1", "ap-northeast-1", "cn-north-1", "us-gov-west-1"):
        assert region in regions
    assert not [region for region in regions if region.endswith("global")]
    assert 30 < len(list(regions)) < 200


def test_a_site_adds_its_own_regions() -> None:
    assert "plant-1" not in Regions()
    assert "plant-1" in Regions(("plant-1",))
    assert "us-east-1" in Regions(("plant-1",))


@pytest.mark.parametrize(
    ("region", "nearest"),
    [
        ("tokyo", "ap-northeast-1"),
        ("Frankfurt", "eu-central-1"),
        ("eu-central1", "eu-central-1"),
        ("us-east-9", "us-east-"),
        ("plant1", "plant-1"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_region(region: str, nearest: str) -> None:
    sentence = Regions(("plant-1",)).why_not(region)
    assert sentence.startswith(
        f"{region!r} is neither a region of AWS nor one of the setting regions. Did you mean {nearest}"
    )


def test_the_message_names_the_setting_that_adds_a_region_where_the_name_can_be_one() -> None:
    sentence = Regions().why_not("zzz")
    assert 'regions = ["zzz"] in sekisho.toml, or SEKISHO_REGIONS=zzz' in sentence
    assert "sekisho.toml" not in Regions().why_not("not a name!")
    assert "sekisho.toml" not in Regions().why_not("x" * 33)
