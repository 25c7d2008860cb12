"""Protobuf files for tests, compiled."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from blueprints.contracts.protobuf import compile_protobuf, find_message

HEAD = 'syntax = "proto3";\npackage flights;\n'

EVERYTHING = (
    HEAD
    + """
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/empty.proto";

enum Colour { NONE = 0; RED = 1; BLUE = -2; }

message Inner { int32 in_side = 1; Inner again = 2; }

message Everything {
  double a_double = 1; float a_float = 2; int32 an_int32 = 3; int64 an_int64 = 4;
  uint32 a_uint32 = 5; uint64 a_uint64 = 6; sint32 a_sint32 = 7; sint64 a_sint64 = 8;
  fixed32 a_fixed32 = 9; fixed64 a_fixed64 = 10; sfixed32 a_sfixed32 = 11; sfixed64 a_sfixed64 = 12;
  bool a_bool = 13; string a_string = 14; bytes a_bytes = 15; Colour colour = 16; Inner inner = 17;
  repeated int64 numbers = 18; repeated Inner inners = 19; repeated string texts = 20; repeated Colour colours = 21;
  map<string, int64> by_text = 22; map<int32, Inner> by_number = 23; map<bool, Colour> by_truth = 24;
  optional int64 maybe = 25; optional string maybe_text = 26;
  oneof choice { string one_text = 27; int64 one_number = 28; Inner one_inner = 29; }
  google.protobuf.Timestamp at = 30; google.protobuf.Duration lasts = 31;
  google.protobuf.Struct extra = 32; google.protobuf.Value any_value = 33; google.protobuf.ListValue list = 34;
  google.protobuf.Int64Value wrapped = 35; google.protobuf.StringValue wrapped_text = 36;
  google.protobuf.Empty nothing = 37; google.protobuf.BytesValue wrapped_bytes = 38;
  repeated google.protobuf.Timestamp times = 39; repeated google.protobuf.Value any_values = 40;
}
"""
)


@cache
def compiled(text: str, **more: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "contract.proto")
        path.write_text(text)
        for name, other in more.items():
            Path(folder, f"{name}.proto").write_text(other)
        return compile_protobuf(path, Path(folder))


def message(text: str, name: str = ""):
    """Return the descriptor of a message of a .proto text."""
    return find_message(compiled(text), name)
