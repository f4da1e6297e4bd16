"""The rules that are written in the protos, as protovalidate compiles and runs them: once in a process."""

from __future__ import annotations

from protovalidate import Validator

validator = Validator()
