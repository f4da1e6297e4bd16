"""Write everything under `gen/` that is made from the protos, or check that it is up to date.

    python protos/generate.py                     every language whose tools are here
    python protos/generate.py --only python       one language; repeat the option for more
    python protos/generate.py --check             writes nothing, and fails with the files that differ
    python protos/generate.py --check --strict    fails, too, when a language had to be skipped

Python and the descriptor set need the project's `dev` extra and nothing else. Go needs the `go` command, Java needs
`java` and `mvn`; both fetch their pinned plugins once, into `.cache/protoc`. The same protos and pins give the same
bytes.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib.resources
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The pins. protoc itself comes with grpcio-tools, which pyproject.toml pins, except for Java, whose generator is not
# in it: there the same protoc is fetched by its Maven name, 4.N for protoc N.
PROTOC_GEN_GO = "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11"
PROTOC_GEN_GO_GRPC = "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2"
MAVEN_PROTOC = "com.google.protobuf:protoc:4.35.1"
MAVEN_PROTOC_GEN_GRPC_JAVA = "io.grpc:protoc-gen-grpc-java:1.83.0"
MAVEN_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
GEN = ROOT / "gen"
CACHE = ROOT / ".cache" / "protoc"
WELL_KNOWN = importlib.resources.files("grpc_tools") / "_proto"
INCLUDES = tuple(f"-I{folder}" for folder in (PROTOS, WELL_KNOWN))

CONTRACT = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "palaver").rglob("*.proto"))
SERVICES = [path for path in CONTRACT if path.endswith("_service.proto")]
# The rules that the contract's options are written in. No Python package that the stubs depend on has this module.
VALIDATE = "buf/validate/validate.proto"
# Not imported by the contract, but packed into the details of its errors: Envoy's transcoder prints an error only when
# it knows the type of every detail.
ERROR_DETAILS = "google/rpc/error_details.proto"


class Skipped(Exception):  # noqa: N818 - it is no error: the other languages are made
    """A language cannot be generated on this machine. The message says what is missing."""


@dataclass(frozen=True)
class Target:
    """Something to generate: its name, the folders under `gen/` that it owns wholly, and how to fill them."""

    name: str
    owns: tuple[str, ...]
    generate: Callable[[Path], None]


def python(gen: Path) -> None:
    """Write messages, stubs and type stubs, importable as `palaver.v1`, and the OpenAPI document of the contract."""
    out = gen / "python"
    out.mkdir(parents=True)
    _protoc(f"--python_out={out}", f"--mypy_out=quiet:{out}", _plugin("mypy"), *CONTRACT, VALIDATE)
    _protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", _plugin("mypy_grpc"), *SERVICES)
    for package in ("palaver", "palaver/v1", "buf/validate"):
        (out / package / "__init__.py").touch()
    _openapi(out)
    # PEP 561. `buf` is left a namespace, which other packages may share, so its marker stands one folder down.
    for package in ("palaver", "buf/validate"):
        (out / package / "py.typed").touch()


def _openapi(stubs: Path) -> None:
    """Write the OpenAPI document and its page beside the stubs, which the server that shows them needs anyway."""
    with tempfile.NamedTemporaryFile(dir=CACHE, suffix=".binpb") as image:
        # Comments are what the document is for, and the stubs do not have them.
        _protoc(
            "--include_imports", "--include_source_info", f"--descriptor_set_out={image.name}", *CONTRACT, ERROR_DETAILS
        )
        folder = stubs / "palaver" / "v1"
        # The server, because what OpenAI's requests may have stands there alone: the protos pass them through.
        sources = os.pathsep.join(str(source) for source in (stubs, ROOT, ROOT / "server"))
        _run([sys.executable, "-m", "protos.openapi", image.name, folder], {"PYTHONPATH": sources})


def descriptor(gen: Path) -> None:
    """Write the contract and all that it imports as one FileDescriptorSet, for Envoy's transcoder and for grpcurl."""
    out = gen / "descriptor"
    out.mkdir(parents=True)
    _protoc("--include_imports", f"--descriptor_set_out={out / 'palaver.binpb'}", *CONTRACT, ERROR_DETAILS)


def go(gen: Path) -> None:
    """Write messages and stubs of the Go module in `gen/go`."""
    if shutil.which("go") is None:
        raise Skipped("the `go` command is not here: install Go from https://go.dev/dl")
    messages, services = _go_plugin(PROTOC_GEN_GO), _go_plugin(PROTOC_GEN_GO_GRPC)
    out = gen / "go"
    out.mkdir(parents=True)
    _protoc(f"--go_out=paths=source_relative:{out}", f"--plugin=protoc-gen-go={messages}", *CONTRACT)
    _protoc(f"--go-grpc_out=paths=source_relative:{out}", f"--plugin=protoc-gen-go-grpc={services}", *SERVICES)


def java(gen: Path) -> None:
    """Write messages and stubs of the Maven project in `gen/java`."""
    for command in ("java", "mvn"):
        if shutil.which(command) is None:
            raise Skipped(f"the `{command}` command is not here: install a JDK of 17 or later, and Maven")
    protoc, services = _maven_executable(MAVEN_PROTOC), _maven_executable(MAVEN_PROTOC_GEN_GRPC_JAVA)
    out = gen / "java" / "src" / "main" / "java"
    out.mkdir(parents=True)
    _run([protoc, *INCLUDES, f"--java_out={out}", *CONTRACT])
    plugin = f"--plugin=protoc-gen-grpc-java={services}"
    # Without `omit` the code needs javax.annotation, which no JDK since 11 has.
    _run([protoc, *INCLUDES, f"--grpc-java_out=@generated=omit:{out}", plugin, *SERVICES])


TARGETS = (
    Target("python", ("python/palaver", "python/buf"), python),
    Target("descriptor", ("descriptor",), descriptor),
    Target("go", ("go/palaver",), go),
    Target("java", ("java/src",), java),
)


def _run(command: list[str | Path], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=PROTOS, check=True, env=os.environ | (environment or {}))


def _protoc(*arguments: str | Path) -> None:
    _run([sys.executable, "-m", "grpc_tools.protoc", *INCLUDES, *arguments])


def _plugin(name: str) -> str:
    """Return the option that names a protoc plugin of the Python environment that this script runs in."""
    return f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"


def _go_plugin(pin: str) -> Path:
    package, _, version = pin.partition("@")
    folder = CACHE / "go" / version
    executable = folder / package.rpartition("/")[2]
    if not executable.exists():
        print(f"fetching {pin}", flush=True)
        try:
            _run(["go", "install", pin], {"GOBIN": str(folder)})
        except subprocess.CalledProcessError as error:
            raise Skipped(f"`go install {pin}` failed: is the Go module proxy reachable?") from error
    return executable


def _maven_executable(pin: str) -> Path:
    group, artifact, version = pin.split(":")
    system = {"Linux": "linux", "Darwin": "osx"}.get(platform.system(), platform.system())
    machine = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}
    classifier = f"{system}-{machine.get(platform.machine(), platform.machine())}"
    folder = CACHE / "java"
    executable = folder / f"{artifact}-{version}-{classifier}.exe"
    if not executable.exists():
        name = f"{group}:{artifact}:{version}:exe:{classifier}"
        print(f"fetching {name}", flush=True)
        quiet = ("--batch-mode", "--quiet", "-Dstyle.color=never")
        goal = (f"{MAVEN_DEPENDENCY_PLUGIN}:copy", f"-Dartifact={name}", f"-DoutputDirectory={folder}")
        try:
            _run(["mvn", *quiet, *goal])
        except subprocess.CalledProcessError as error:
            raise Skipped(f"{name} could not be fetched: is Maven Central reachable?") from error
    executable.chmod(0o755)
    return executable


def _files(folder: Path) -> set[Path]:
    # Bytecode appears inside as soon as something is imported; what Go and Maven build lies outside.
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder) for path in found}


def differences(fresh: Path, kept: Path) -> list[str]:
    """Name the files of two folders that are not the same, a line each."""
    new, old = _files(fresh), _files(kept)
    lines = [f"missing: {kept / path}" for path in new - old]
    lines += [f"not made from the protos: {kept / path}" for path in old - new]
    lines += [
        f"differs: {kept / path}" for path in new & old if not filecmp.cmp(fresh / path, kept / path, shallow=False)
    ]
    return sorted(lines)


def _replace(fresh: Path, kept: Path) -> None:
    """Put one folder in the place of another, by moves alone: both lie on one file system."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        kept.rename(fresh.with_name(f"{fresh.name}.old"))
    fresh.rename(kept)


def main() -> int:
    """Generate or check, and return the exit code."""
    parser = argparse.ArgumentParser(description="Makes gen/ from the protos.")
    names = [target.name for target in TARGETS]
    parser.add_argument("--only", action="append", choices=names, help="this alone; repeat for more (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, fail with the files that differ")
    parser.add_argument("--strict", action="store_true", help="fail when something had to be skipped")
    chosen = parser.parse_args()

    skipped: list[str] = []
    stale: list[str] = []
    CACHE.mkdir(parents=True, exist_ok=True)
    # In the checkout rather than in the system's temporary folder, so that folders can be moved into place.
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as scratch:
        for target in TARGETS:
            if chosen.only and target.name not in chosen.only:
                continue
            try:
                target.generate(Path(scratch))
            except Skipped as reason:
                skipped.append(f"skipped {target.name}: {reason}")
                continue
            except subprocess.CalledProcessError as error:
                # What is wrong stands above: protoc names file and line itself.
                print(f"{target.name} could not be made: {Path(error.cmd[0]).name} failed", file=sys.stderr)
                return 1
            for owned in target.owns:
                if chosen.check:
                    stale += differences(Path(scratch) / owned, GEN / owned)
                else:
                    _replace(Path(scratch) / owned, GEN / owned)
            print(f"{'compared' if chosen.check else 'wrote'} {', '.join(f'gen/{owned}' for owned in target.owns)}")
    for line in (*stale, *skipped):
        print(line.replace(f"{ROOT}/", ""), file=sys.stderr)
    if stale:
        print("gen/ is not what the protos make: run `make gen` and commit the result", file=sys.stderr)
    return 1 if stale or (chosen.strict and skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
