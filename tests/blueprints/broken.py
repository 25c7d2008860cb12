"""Files that are broken in every way there is: bytes by name."""

from __future__ import annotations

import random

GOOD = b"""\
name: broken
streamlets:
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console, with: { width: 80 } }
topics:
  readings: { external: true, consumers: [hot.in], retention: 7d }
  hot: { producers: [hot.out], consumers: [print.in] }
"""


def _laughs(width: int, depth: int) -> bytes:
    lines = [b"l0: &l0 [" + b",".join([b"x"] * width) + b"]"]
    lines += [b"l%d: &l%d [%s]" % (i, i, b",".join([b"*l%d" % (i - 1)] * width)) for i in range(1, depth)]
    return b"\n".join(lines) + b"\n"


def _nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b"a: " + opening * depth + b"1" + closing * depth + b"\n"


def _in(value: bytes) -> bytes:
    """Return a good blueprint with a value in the place of a number, of a quantity and of text."""
    return GOOD.replace(b"width: 80", b"width: " + value).replace(b"7d", value)


REFUSED: dict[str, bytes] = {
    # encodings
    "invalid UTF-8": GOOD.replace(b"broken", b"br\xc3ken"),
    "an overlong UTF-8 form": GOOD.replace(b"broken", b"\xc0\xaf"),
    "a surrogate in UTF-8": GOOD.replace(b"broken", b"\xed\xa0\x80"),
    "UTF-16 with its mark": GOOD.decode().encode("utf-16"),
    "UTF-16 without": GOOD.decode().encode("utf-16-le"),
    "UTF-32 with its mark": GOOD.decode().encode("utf-32"),
    "UTF-32 without": GOOD.decode().encode("utf-32-be"),
    "a NUL": GOOD.replace(b"broken", b"bro\0ken"),
    "a file of NULs": b"\0" * 100_000,
    "control characters": GOOD.replace(b"broken", b"\x01\x02\x1b[31m"),
    "a delete": GOOD.replace(b"broken", b"bro\x7fken"),
    "an escape in quotes": GOOD.replace(b"broken", b'"\\x1b[31mred"'),
    "bidirectional overrides": GOOD.replace(b"broken", "\u202egnihtemos".encode()),
    "a byte order mark inside": GOOD.replace(b"broken", "bro\ufeffken".encode()),
    "a lone surrogate escaped": GOOD.replace(b"broken", b'"\\ud800"'),
    "latin-1": "name: café\n".encode("latin-1"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bytes(range(256)),
    "a PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    # sizes
    "one byte over 1 MiB": b"#" * ((1 << 20) + 1),
    "a scalar of 1 MiB": b"name: " + b"x" * ((1 << 20) - 10),
    "a quoted scalar of 1 MiB": b'name: "' + b"x " * (1 << 19),
    "a block scalar of 1 MiB": b"name: |\n  " + b"x" * ((1 << 20) - 20),
    "a key of 1 MiB": b"k" * ((1 << 20) - 10) + b": 1\n",
    "a comment of 1 MiB": b"#" * ((1 << 20) - 1) + b"\n",
    "a line feed a million times": b"\n" * (1 << 20),
    "blanks": b" " * (1 << 20),
    "tabs": b"\t" * (1 << 20),
    "100,000 keys": b"".join(b"k%d: 1\n" % i for i in range(100_000))[: 1 << 20].rsplit(b"\n", 1)[0] + b"\n",
    "10,000 unknown keys": b"".join(b"k%d: 1\n" % i for i in range(10_000)),
    "10,000 unknown keys of a streamlet": b"name: a\nstreamlets:\n  s:\n"
    + b"".join(b"    k%d: 1\n" % i for i in range(9_900)),
    "10,000 keys of one name": b"name: a\n" * 10_000,
    "10,000 streamlets that are not there": b"name: a\nstreamlets: { p: { use: console } }\ntopics:\n"
    + b"".join(b" t%d: {consumers: [s%d.in]}\n" % (i, i) for i in range(4_900)),
    "4,000 misspelt built-ins": b"name: a\nstreamlets:\n"
    + b"".join(b" s%d: { use: consol%d }\n" % (i, i) for i in range(4_000)),
    # depth
    "flow lists 10,000 deep": _nested(b"[", b"]", 10_000),
    "flow mappings 10,000 deep": _nested(b"{a: ", b"}", 10_000),
    "both in turn 10,000 deep": _nested(b"[{a: ", b"}]", 5_000),
    "block lists 10,000 deep": b"- " * 10_000 + b"1\n",
    "block mappings 1,400 deep": b"".join(b" " * i + b"a:\n" for i in range(1_400)),
    "lists and mappings 700 deep": b"".join(b"  " * i + b"- a:\n" for i in range(700)),
    "complex keys 10,000 deep": b"? " * 10_000 + b"1\n",
    "open brackets": b"[" * 500_000,
    "open braces": b"{" * 500_000,
    "open quotes": b'"' * 100_001,
    "closing brackets": b"]" * 100_000,
    # anchors
    "a billion laughs": _laughs(9, 9),
    "a quadratic blow-up": b"a: &a [" + b"x," * 10_000 + b"]\nb: [" + b"*a," * 10_000 + b"]\n",
    "an anchor in itself": b"name: &a [*a]\n",
    "an anchor in itself, a mapping": b"name: &a { b: *a }\n",
    "an anchor that is not there": b"name: *nowhere\n",
    "an anchor as a key in itself": b"&a {*a : 1}\n",
    "10,000 anchors of one name": b"a: [" + b"&a 1, " * 10_000 + b"*a]\n",
    "a merge key": b"a: &a {name: b}\n<<: *a\n",
    "a list of merge keys": b"a: &a {name: b}\n<<: [*a, *a]\n",
    # tags and documents
    "a Python object": b"name: !!python/object/apply:os.system ['true']\n",
    "a Python name": b"name: !!python/name:os.system\n",
    "a local tag": b"name: !vault secret\n",
    "a tag on the root": b"!!map {name: !!set {a, b}}\n",
    "a binary": b"name: !!binary aGVsbG8=\n",
    "a time by its tag": b"name: !!timestamp 2026-04-01\n",
    "an ordered mapping": b"name: !!omap [a: 1]\n",
    "a tag of a thousand characters": b"name: !" + b"t" * 1000 + b" x\n",
    "a tag handle that is not there": b"name: !e!x y\n",
    "two documents": GOOD + b"---\n" + GOOD,
    "YAML 3": b"%YAML 3.0\n---\nname: a\n",
    "a directive alone": b"%YAML 1.2\n",
    "a directive twice": b"%YAML 1.2\n%YAML 1.2\n---\nname: a\n",
    "an unknown directive, then nothing": b"%FOO bar\n",
    # values
    "an int of 10,000 digits": _in(b"9" * 10_000),
    "a float of 10,000 digits": _in(b"0." + b"9" * 10_000),
    "a huge exponent": _in(b"1e999999999"),
    "an exponent of 10,000 digits": _in(b"1e" + b"9" * 10_000),
    "an int in base 16 of 10,000 digits": _in(b"0x" + b"f" * 10_000),
    "infinity": _in(b".inf"),
    "no number": _in(b".nan"),
    "a date": _in(b"2026-04-01"),
    "a time in base 60": _in(b"190:20:30"),
    "octal of old": _in(b"0777x"),
    "a fraction": _in(b"80.5"),
    "a yes": _in(b"yes"),
    "a null": _in(b"null").replace(b"retention: null", b"retention: ~"),
    "a variable in a variable": _in(b'"${A:-${B}}"'),
    "10,000 variables": _in(b'"' + b"${A:-b}" * 10_000 + b'"'),
    "a variable that never ends": _in(b'"${A:-' + b"x" * 100_000 + b'"'),
    "dollars": _in(b'"' + b"$" * 100_000 + b"{" * 100_000 + b'"'),
    # shapes
    "nothing": b"",
    "a mark and nothing": b"\xef\xbb\xbf",
    "a list": b"- a\n- b\n",
    "a word": b"blueprint\n",
    "a number": b"17\n",
    "JSON of a list": b"[1, 2, 3]",
    "XML": b"<?xml version='1.0'?><name>a</name>\n",
    "a TOML file": b"[streamlets]\nname = 'a'\n",
    "a template": b"name: {{ .Values.name }}\n",
    "a key without a name": b": 1\n: 2\n",
    "a list as a key": b"? [a]\n: b\n",
    "names that are no text": b"1: a\ntrue: b\nnull: c\n",
}

ACCEPTED: dict[str, bytes] = {
    "as it is": GOOD,
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "Windows line ends": GOOD.replace(b"\n", b"\r\n"),
    "an end of document": GOOD + b"...\n",
    "a start of document": b"---\n" + GOOD,
    "YAML 1.2 by its directive": b"%YAML 1.2\n---\n" + GOOD,
    "an anchor twice": GOOD.replace(b"width: 80", b"width: &a 80").replace(b"7d", b"&a 7d"),
    "a comment of a megabyte": GOOD + b"#" * (1_000_000) + b"\n",
    "core tags": GOOD.replace(b"width: 80", b"width: !!int 80").replace(b"7d", b"!!str 7d"),
}


def fuzzed(seed: int, count: int) -> list[bytes]:
    """Return a good blueprint with some bytes changed, doubled, or taken out, or nothing but random bytes."""
    rng = random.Random(seed)
    alphabet = b"\x00\xff\xc3\xe2\x80\xaf: -[]{}\n\t\r'\"&*!|>%@`#,?~<$ab1.\\"
    found = []
    for _ in range(count):
        if rng.random() < 0.1:
            found.append(rng.randbytes(rng.randrange(200)))
            continue
        raw = bytearray(GOOD)
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(raw))
            kind = rng.randrange(4)
            if kind == 0:
                raw[at : at + rng.randrange(4)] = bytes(rng.choice(alphabet) for _ in range(rng.randrange(4)))
            elif kind == 1:
                raw[at : at + 1] = rng.randbytes(1)
            elif kind == 2:
                until = rng.randrange(at, min(len(raw), at + 60) + 1)
                raw[at:at] = raw[at:until]
            else:
                del raw[at : at + rng.randrange(1, 40)]
        found.append(bytes(raw))
    return found
