"""Write the OpenAPI document of the contract, and the page that shows it.

    python -m protos.openapi IMAGE FOLDER

IMAGE is a FileDescriptorSet of the contract with its comments (`--include_source_info`). FOLDER gets `openapi.json` and
`docs.html`. Run by `protos/generate.py`, in the root of the repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.openapi.comments import Comments
from protos.openapi.document import document
from protos.openapi.page import page


def main(image: Path, folder: Path) -> None:
    """Make both."""
    made = document(Comments(FileDescriptorSet.FromString(image.read_bytes()).file))
    (folder / "openapi.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "docs.html").write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
