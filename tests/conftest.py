"""Settings of all tests: their order, the profiles of hypothesis, and bytecode of started programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

SUITES = ("e2e", "store", "contract", "unit")
"""The order of the folders. pytest-xdist gives out files in this order: the long ones first, so that the short ones at
the end keep every process busy until all are done."""

# Without bytecode each start of ``sekisho`` compiles its modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No deadline and no check of speed: how long an example takes depends on what else runs. A test says max_examples
# itself only where each example is slow.
settings.register_profile("quick", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by suite."""
    items.sort(key=lambda item: SUITES.index(item.path.relative_to(TESTS).parts[0]))
