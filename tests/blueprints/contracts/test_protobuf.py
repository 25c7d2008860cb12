"""Protobuf files: what is found in them, and what is told of one that is none."""

import pytest
from google.protobuf import descriptor_pb2

from blueprints.contracts import protobuf
from blueprints.contracts.avro import SchemaError
from blueprints.contracts.protobuf import NotInstalled, compile_protobuf, find_message
from blueprints.contracts.protobuf_json import protobuf_json_schema
from tests.formats.proto_files import HEAD, compiled, message


def problem(folder, text, name=""):
    """Return what is told of a file, whose path is contracts/a.proto."""
    (folder / "contracts").mkdir(exist_ok=True)
    path = folder / "contracts" / "a.proto"
    path.write_text(text)
    with pytest.raises(SchemaError) as caught:
        find_message(compile_protobuf(path, folder), name)
    return str(caught.value)


def test_the_compilers_words_come_with_the_place_in_the_file(tmp_path):
    text = HEAD + "message M {\n  int32 a = 1\n}\n"
    assert problem(tmp_path, text) == 'a.proto:5:1: Expected ";".'


def test_an_import_that_is_not_there_is_told_where_it_is_named(tmp_path):
    told = problem(tmp_path, HEAD + 'import "nope.proto";\nmessage M {}')
    assert told == 'a.proto:3:1: Import "nope.proto" was not found or had errors.'


def test_imports_are_found_beside_the_file_and_in_the_folder_of_the_blueprint(tmp_path):
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "near.proto").write_text('syntax = "proto3"; message Near {}')
    (tmp_path / "far.proto").write_text('syntax = "proto3"; message Far {}')
    path = tmp_path / "contracts" / "a.proto"
    path.write_text(HEAD + 'import "near.proto";\nimport "far.proto";\nmessage M { Near n = 1; Far f = 2; }')
    found = find_message(compile_protobuf(path, tmp_path), "M")
    assert [field.message_type.name for field in found.fields] == ["Near", "Far"]


def test_an_import_cannot_leave_the_folder(tmp_path):
    (tmp_path / "secret.proto").write_text('syntax = "proto3"; message S {}')
    inside = tmp_path / "app"
    inside.mkdir()
    assert "../secret.proto" in problem(inside, HEAD + 'import "../secret.proto";\nmessage M { S s = 1; }')
    (inside / "contracts" / "link.proto").symlink_to(tmp_path / "secret.proto")
    told = problem(inside, HEAD + 'import "link.proto";\nmessage M { S s = 1; }')
    assert told == "it imports 'link.proto', which is a link out of the blueprint's folder"
    with pytest.raises(SchemaError, match="must lie in the blueprint's folder"):
        compile_protobuf(tmp_path / "secret.proto", inside)


def test_a_message_is_found_by_its_name_or_its_full_name_or_because_it_is_the_only_one():
    text = HEAD + "message M { message In { int32 a = 1; } In i = 1; }"
    assert message(text).full_name == "flights.M"
    assert message(text, "M").full_name == message(text, "flights.M").full_name == "flights.M"
    assert message(text, "M.In").full_name == "flights.M.In"


def test_a_message_that_is_not_there_is_told_with_what_may_be_meant():
    with pytest.raises(SchemaError) as caught:
        message(HEAD + "message Departure {}", "Depature")
    assert str(caught.value) == "there is no message 'Depature' in it; did you mean 'Departure'?"
    with pytest.raises(SchemaError) as caught:
        message(HEAD + "message A {} message B {}")
    assert str(caught.value) == "say which message, as 'file:Message'; it has A, B"


def test_a_message_that_may_hold_any_other_is_refused():
    text = HEAD + 'import "google/protobuf/any.proto"; message M { google.protobuf.Any payload = 1; }'
    with pytest.raises(SchemaError) as caught:
        message(text)
    assert str(caught.value) == (
        "message 'M', field 'payload': google.protobuf.Any may hold any message: name the one that it holds"
    )


def test_a_descriptor_set_does_without_googles_own_files_and_not_without_others(tmp_path):
    text = HEAD + 'import "google/protobuf/timestamp.proto"; message M { google.protobuf.Timestamp at = 1; }'
    files = descriptor_pb2.FileDescriptorSet.FromString(compiled(text)).file
    alone = descriptor_pb2.FileDescriptorSet(file=[files[-1]])
    path = tmp_path / "contract.binpb"
    path.write_bytes(alone.SerializeToString())
    assert find_message(compile_protobuf(path, tmp_path), "M").full_name == "flights.M"
    other = HEAD + 'import "near.proto"; message M { Near n = 1; }'
    files = descriptor_pb2.FileDescriptorSet.FromString(
        compiled(other, near='syntax = "proto3"; message Near {}')
    )
    del files.file[0]
    with pytest.raises(SchemaError, match=r"imports 'near\.proto' and does not hold it"):
        find_message(files.SerializeToString(), "M")


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"syntax"])
def test_what_is_no_descriptor_set_is_told(raw):
    with pytest.raises(SchemaError, match="it is no descriptor set"):
        find_message(raw, "M")


def test_a_package_that_is_not_installed_is_told_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(protobuf, "_is_installed", lambda name: False)
    with pytest.raises(NotInstalled, match=r"pip install 'streamlets\[protobuf\]'"):
        compile_protobuf(tmp_path / "a.proto", tmp_path)


def test_fields_with_presence_may_be_absent_and_others_are_there():
    text = HEAD + "message M { int32 a = 1; optional int32 b = 2; repeated string c = 3; M d = 4; }"
    schema = protobuf_json_schema(message(text))
    assert schema["$ref"] == "#/$defs/M"
    assert schema["$defs"]["M"]["required"] == ["a", "c"]
    written = protobuf_json_schema(message(text), is_written=True)
    assert "required" not in written["$defs"]["M"]
