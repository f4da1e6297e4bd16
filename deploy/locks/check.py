"""Are the locks those of today's pyproject.toml? Needs no network.

``make lock`` records a digest of what the locks were resolved from; a change of the dependencies without ``make lock``
shows as another digest.
"""

import hashlib
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "inputs.sha256"


def main() -> None:
    """Compare, or with ``--write`` record."""
    project = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text())
    inputs = [
        project["project"]["requires-python"],
        project["project"]["dependencies"],
        project["project"]["optional-dependencies"],
        project["tool"]["uv"],
        *((HERE / name).read_text() for name in ("uv.in", "torch.in")),
    ]
    digest = hashlib.sha256(repr(inputs).encode()).hexdigest()
    if "--write" in sys.argv:
        RECORD.write_text(digest + "\n")
    elif not RECORD.is_file() or RECORD.read_text().strip() != digest:
        sys.exit("The dependencies changed since the locks were made: run `make lock` and commit deploy/locks.")


if __name__ == "__main__":
    main()
