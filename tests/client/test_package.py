"""The client is small to install and small to import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import palaver_client

CLIENT = Path(palaver_client.__file__).parents[1]
ROOT = CLIENT.parents[1]
PROGRAM = """
    import sys
    # What grpc imports if it is there, and what a server needs: as if they were not installed.
    for name in ("grpc_tools", "grpc_health", "grpc_reflection", "protovalidate", "palaver_server"):
        sys.modules[name] = None
    before = set(sys.modules)
    import palaver_client
    added = {name.partition(".")[0] for name in set(sys.modules) - before}
    print(*sorted(added - sys.stdlib_module_names))
"""


def test_nothing_is_imported_beyond_what_the_package_depends_on():
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM)], check=True, capture_output=True, text=True
    )
    imported = {name for name in child.stdout.split() if "cython" not in name}
    # The four dependencies, with what grpcio itself depends on; buf and palaver are the generated code.
    assert imported == {"buf", "google", "grpc", "grpc_status", "palaver", "palaver_client", "typing_extensions"}
    assert child.stderr == ""


@pytest.mark.timeout(300)
def test_it_is_installed_as_the_readme_says(tmp_path):
    (commands,) = re.findall(r"```sh\n(pip .*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    # What the package needs is here already: nothing is fetched, and the package alone goes to a place of the test's.
    pip = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**os.environ, **pip, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for number, command in enumerate(commands.replace("dist", str(tmp_path / "dist")).splitlines()):
        place = str(tmp_path / str(number))
        subprocess.run(["sh", "-ec", command], check=True, cwd=ROOT, env={**environment, "PIP_TARGET": place})
        program = f"import sys; sys.path.insert(0, {place!r}); import palaver_client; print(palaver_client.__file__)"
        child = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
        assert Path(child.stdout.strip()).is_relative_to(place)


def test_every_public_name_is_there_and_documented():
    for name in palaver_client.__all__:
        value = getattr(palaver_client, name)
        if isinstance(value, type) or name == "errors":
            assert value.__doc__, name
    for value in vars(palaver_client.errors).values():
        if isinstance(value, type) and issubclass(value, palaver_client.errors.PalaverClientError):
            assert value.__doc__, value


def test_leaving_everything_open_ends_without_a_word(fake, act):
    fake.will(act(words=("one",), hangs=True))
    program = f"""
        import asyncio
        from palaver_client import AsyncClient, Client

        async def main():
            client = AsyncClient({fake.address!r})
            stream = client.stream("x")
            print(await anext(stream))
            return client, stream

        kept = asyncio.run(main())
        client = Client({fake.address!r})
        print(client.chat("two"))
        print(next(client.stream("three")))
    """
    child = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "one\ntwo\nthree\n", "")
