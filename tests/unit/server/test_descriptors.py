"""File descriptors are divided so that the API never uses those of devices."""

from __future__ import annotations

import pytest

from sekisho.server.descriptors import RESERVED_DESCRIPTORS, TooFewDescriptors, connection_limits


@pytest.mark.parametrize(
    ("descriptors", "wanted", "api"), [(1024, 0, 256), (1_048_576, 0, 1000), (1024, 40, 40), (256, 0, 64)]
)
def test_the_api_gets_its_share_and_devices_the_rest(descriptors: int, wanted: int, api: int) -> None:
    limits = connection_limits(descriptors, wanted)
    assert limits.api == api
    assert limits.api + limits.mqtt + RESERVED_DESCRIPTORS == descriptors
    assert limits.mqtt >= 1


@pytest.mark.parametrize(("descriptors", "wanted"), [(128, 0), (1024, 1000)])
def test_too_few_descriptors_are_refused_with_what_to_do(descriptors: int, wanted: int) -> None:
    with pytest.raises(TooFewDescriptors, match=r"api_connections.*ulimit -n"):
        connection_limits(descriptors, wanted)


def test_devices_get_no_more_than_the_setting() -> None:
    assert connection_limits(1024, 40, 100).mqtt == 100
    most = 1024 - 40 - RESERVED_DESCRIPTORS
    assert connection_limits(1024, 40, most).mqtt == most
    with pytest.raises(TooFewDescriptors, match=rf"leaves {most}.*max_connections = {most + 1}.*ulimit -n"):
        connection_limits(1024, 40, most + 1)
