from __future__ import annotations

import subprocess
import sys


def test_the_collector_is_off_during_a_start_and_rich_can_be_imported_after_it() -> None:
    program = """
import gc, sys
from sekisho.server import quick_start
quick_start.begin()
assert not gc.isenabled()
assert "structlog" in sys.modules and "rich" not in sys.modules
quick_start.end()
assert gc.isenabled() and gc.get_freeze_count() > 0
import rich.console
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
