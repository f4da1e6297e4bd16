"""``python -m palaver_server.front_end`` is one of the other front ends, as the first starts them.

A module of its own, since what is registered for a process's end has to be known before ``app`` is imported.
"""

from __future__ import annotations

import sys

from palaver_server.quick_exit import QuickExit


def main() -> int:
    """Run the front end that the command line names, and return its exit code."""
    quick_exit = QuickExit()
    from palaver_server.app.front_ends.main import run  # noqa: PLC0415  # see above

    owner, end, limits = map(int, sys.argv[1:])
    return quick_exit.with_status(run(owner, end, limits))


if __name__ == "__main__":
    sys.exit(main())
