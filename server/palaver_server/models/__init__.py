"""Fetch, verify and describe model files.

Knows files, pip and safetensors. May not import gRPC, vLLM or generated code; what is heavy (torch, transformers) is
imported only in the child process of `convert.py`, so that its memory goes back and `palaver models list` is quick.
"""

from palaver_server.models.catalogue import CATALOGUE, DEFAULT_MODEL, CatalogueModel
from palaver_server.models.describe import ModelFiles, describe
from palaver_server.models.errors import ModelFilesError, ModelFilesReason
from palaver_server.models.progress import OnProgress, Phase, Progress
from palaver_server.models.store import ModelStore, ensure

__all__ = [
    "CATALOGUE",
    "DEFAULT_MODEL",
    "CatalogueModel",
    "ModelFiles",
    "ModelFilesError",
    "ModelFilesReason",
    "ModelStore",
    "OnProgress",
    "Phase",
    "Progress",
    "describe",
    "ensure",
]
