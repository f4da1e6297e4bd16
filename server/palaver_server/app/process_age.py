"""How old this process is."""

from __future__ import annotations

import sys
import time

import psutil


def seconds_since_process_start() -> float:
    """Seconds since this process was started, the imports included."""
    created = psutil.Process().create_time()
    if sys.platform != "linux":
        return time.time() - created
    # Linux counts a start from the boot, whose time of day it knows in whole seconds: the difference has no such error.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
