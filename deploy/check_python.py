"""Says in one sentence what this machine lacks, before anything is downloaded. Runs on any Python 3."""

import importlib.util
import platform
import sys

problems = []
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    problems.append(
        "Python 3.11 to 3.14 is needed, this is %s. Name another one: make PYTHON=python3.12 ..."
        % platform.python_version()
    )
if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
    problems.append(
        "vLLM runs on Linux, x86-64 or aarch64; this is %s %s. Elsewhere the client and the scripted engine work: "
        "pip install '.[server]'" % (platform.system(), platform.machine())
    )
if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
    problems.append("Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv")
if problems:
    sys.exit("palaver: " + "\npalaver: ".join(problems))
