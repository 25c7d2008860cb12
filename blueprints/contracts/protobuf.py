"""Protobuf contracts: a .proto file compiled, or a descriptor set read, and the message in it found.

A .proto file is compiled by the protoc of grpcio-tools, in a process of its own: it writes to no file of the user's,
asks no network, and finds imports beside the file and in the blueprint's folder, nowhere else. Both packages are an
extra, so that this file is imported only where a blueprint names a Protobuf contract.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from blueprints.contracts.avro import SchemaError
from blueprints.files import TooLarge, read_bytes
from blueprints.suggest import did_you_mean

MAX_BYTES: Final = 1 << 20  # of each file, as of a blueprint
COMPILE_S: Final = 30.0  # a compiler takes a tenth of a second; one that hangs must not hang the linter
INSTALL: Final = "pip install 'streamlets[protobuf]'"
_COMPILED: Final = (".binpb", ".desc", ".pb", ".protoset")
_REFUSED: Final = {
    "google.protobuf.Any": "may hold any message: name the one that it holds",
    "google.protobuf.FieldMask": "is not supported",
}
_WELL_KNOWN: Final = "google/protobuf/"


class NotInstalled(Exception):
    """The packages that Protobuf needs are not installed. The text says how to install them."""


def split_source(source: str) -> tuple[str, str]:
    """Return (file, message) of `file:message`; no message where it names a file alone."""
    file, _, message = source.rpartition(":")
    return (file, message) if file else (source, "")


def compile_protobuf(path: Path, base_dir: Path) -> bytes:
    """Return the descriptor set of a .proto file with its imports, or a compiled one as it is.

    Raises: NotInstalled; SchemaError with the compiler's place and words; OSError when the file cannot be read.
    """
    for name in ("google.protobuf", "grpc_tools") if path.suffix == ".proto" else ("google.protobuf",):
        if not _is_installed(name):
            raise NotInstalled(f"Protobuf contracts need packages that are not installed: {INSTALL}")
    try:
        raw = read_bytes(path, MAX_BYTES)
    except TooLarge as exc:
        raise SchemaError("it is larger than 1 MiB") from exc
    if path.suffix != ".proto":
        return raw
    root = base_dir.resolve()
    if not path.resolve().is_relative_to(root):
        raise SchemaError("a .proto file and what it imports must lie in the blueprint's folder")
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "compiled.binpb")
        # In the file's own folder, so that the compiler's messages have its bare name.
        command = [sys.executable, "-P", "-m", "grpc_tools.protoc", "-I.", f"-I{root}", "--include_imports"]
        command += [f"--descriptor_set_out={compiled}", f"./{path.name}"]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter, and no shell
                command,
                cwd=path.parent,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise SchemaError(f"it cannot be compiled within {COMPILE_S:g} s") from exc
        if done.returncode != 0 or not compiled.exists():
            raise SchemaError(_compilers_words(done.stderr))
        made = compiled.read_bytes()
    for name in _file_names(made):
        found = next((p for p in (path.parent / name, base_dir / name) if p.exists()), None)
        if found is None:
            continue  # one of Google's own, which come with the compiler
        if not found.resolve().is_relative_to(root):
            raise SchemaError(f"it imports '{name}', which is a link out of the blueprint's folder")
        if found.stat().st_size > MAX_BYTES:
            raise SchemaError(f"it imports '{name}', which is larger than 1 MiB")
    return made


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _compilers_words(text: str) -> str:
    """Return the first of the compiler's errors, with its line and column in the file."""
    found = [line for line in text.splitlines() if "warning:" not in line]
    placed = [line for line in found if line.partition(".proto:")[2][:1].isdigit()] or found
    if not placed:
        return "it cannot be compiled"
    # A missing import is told on a line of its own, and then once more with the place that names it.
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return placed[0].strip()[:300] + more


def _file_names(compiled: bytes) -> list[str]:
    from google.protobuf import descriptor_pb2

    return [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file]


def find_message(compiled: bytes, name: str) -> Any:
    """Return the descriptor of a message: by its full name, or its name in the last file; no name: the only one.

    Raises: SchemaError.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message

    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    except message.DecodeError as exc:
        raise SchemaError("it is no descriptor set, as protoc --descriptor_set_out writes it") from exc
    if not files:
        raise SchemaError("it is no descriptor set: it holds no file")
    pool = descriptor_pool.DescriptorPool()
    there = {file.name for file in files}
    for needed in {name for file in files for name in file.dependency} - there:
        _add_well_known(pool, needed)
    try:
        for file in files:
            pool.Add(file)
        own = [message for file in files for message in _messages(pool.FindFileByName(file.name))]
        last = list(_messages(pool.FindFileByName(files[-1].name)))
    except (TypeError, KeyError) as exc:
        raise SchemaError(
            "its imports are missing, or it is broken; write it with protoc --include_imports"
        ) from exc
    found = _named(name, own, last)
    _refuse_unsupported(found)
    return found


def _add_well_known(pool: Any, name: str) -> None:
    """Add one of Google's own files, with which a descriptor set often comes without."""
    if not name.startswith(_WELL_KNOWN):
        raise SchemaError(f"it imports '{name}' and does not hold it; write it with protoc --include_imports")
    module = f"google.protobuf.{name.removeprefix(_WELL_KNOWN).removesuffix('.proto')}_pb2"
    try:
        pool.AddSerializedFile(importlib.import_module(module).DESCRIPTOR.serialized_pb)
    except (ImportError, TypeError) as exc:
        raise SchemaError(f"it imports '{name}', which is not there") from exc


def _messages(holder: Any) -> Iterator[Any]:
    """Yield the messages of a file or a message, nested ones too, map entries left out."""
    below = getattr(holder, "message_types_by_name", None) or getattr(holder, "nested_types_by_name", {})
    for message in below.values():
        if not message.GetOptions().map_entry:
            yield message
            yield from _messages(message)


def _named(name: str, own: list[Any], last: list[Any]) -> Any:
    if not name:
        top = [message for message in last if message.containing_type is None]
        if len(top) == 1:
            return top[0]
        shown = ", ".join(message.name for message in top[:5]) or "none"
        raise SchemaError(f"say which message, as 'file:Message'; it has {shown}")
    for message in own:
        if message.full_name == name:
            return message
    package = f"{last[0].file.package}." if last and last[0].file.package else ""
    for message in last:
        if message.full_name == package + name:
            return message
    names = [message.full_name.removeprefix(package) for message in last]
    names += [message.full_name for message in own]
    raise SchemaError(f"there is no message '{name}' in it{did_you_mean(name, names)}")


def reachable(root: Any) -> list[Any]:
    """Return the message and those that it is made of, each once; Google's own are not looked into."""
    found: dict[str, Any] = {}
    waiting = [root]
    while waiting:
        message = waiting.pop()
        if message.full_name in found:
            continue
        found[message.full_name] = message
        if not message.full_name.startswith("google.protobuf."):
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return list(found.values())


def _refuse_unsupported(root: Any) -> None:
    for message in reachable(root):
        for field in message.fields:
            kind = field.message_type
            if kind is not None and kind.full_name in _REFUSED:
                raise SchemaError(
                    f"message '{message.name}', field '{field.name}': {kind.full_name} {_REFUSED[kind.full_name]}"
                )
