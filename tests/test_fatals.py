"""Every refusal in the code, and where it is found before a start: what start-up refuses, `verify` refused too.

A new `Fatal(…)` whose code is none of the linter's fails this test until the table says why no linter can find it.
"""

import ast
from pathlib import Path

from blueprints.lint.explain import pages

ROOT = Path(__file__).resolve().parents[1]

LINT = "lint"  # `verify` finds it, by the same code
ONLINE = "verify --online"  # what only a server can tell, by the same code
COMMAND = "the command line: a wrong argument, not a wrong blueprint"
LATER = "while running: what the log, a server or an event brought"
DISK = "the disk: the log's file, its folder, its owner"
BUG = "a fault of ours"

TABLE = {
    "builtin/datasets/nycflights13.py": {"'import-failed'": LINT},
    "builtin/detect.py": {
        "_CODES.get(about['problem'], about['problem'])": "lint: the reference is inspected by the same code",
        "_CODES.get(exc.code, exc.code)": "lint: the reference is inspected by the same code",
        "about.code": "while running: the child process that computes cannot be started or died",
        "found['problem']": LATER,
    },
    "builtin/file.py": {
        "'bad-file'": LATER, "'bad-option'": LINT, "'file-replaced'": LATER, "'missing-file'": LINT,
    },
    "builtin/file_sink.py": {
        "'file-foreign'": DISK, "'file-locked'": DISK, "'file-not-writable'": DISK, "'file-replaced'": DISK,
        "'file-shorter'": DISK, "'single-reader'": LINT,
    },
    "builtin/scoring/fit.py": {"'model-missing'": ONLINE},
    "builtin/scoring/target.py": {"'tensor-mismatch'": ONLINE, "'model-missing'": ONLINE, "exc.code": ONLINE},
    "catalog.py": {"found.code": "lint: the same answer of the catalog"},
    "cli/application.py": {"'no-log'": COMMAND, "'unknown-transport'": COMMAND},
    "cli/dead_letters.py": {"'bad-value'": COMMAND, "'no-dead-letter'": COMMAND},
    "cli/demo.py": {"'extra-missing'": COMMAND},
    "cli/demo_servers.py": {"'server-died'": LATER},
    "cli/dry_run.py": {"'log-cannot-open'": DISK, "'set-up-slow'": LATER},
    "cli/inspect.py": {"'unknown-partition'": COMMAND, "'unknown-port'": COMMAND},
    "cli/model_server.py": {"'bad-option'": COMMAND, "'missing-file'": COMMAND, "'no-listener'": COMMAND},
    "cli/model_updates.py": {
        "'bad-update'": COMMAND, "'no-updates' if not chosen else 'ambiguous-streamlet'": COMMAND,
        "'no-version'": COMMAND, "'unknown-streamlet'": COMMAND,
    },
    "cli/models.py": {"'bad-value'": COMMAND},
    "cli/online.py": {"'bad-value'": COMMAND},
    "cli/run.py": {"'one-worker'": COMMAND, "'unknown-streamlet'": COMMAND},
    "component.py": {
        "'bad-expression'": LINT,
        "codes.get(first['type'], 'bad-option')": "lint: missing-option, unknown-option, bad-option",
    },
    "contracts.py": {"'bad-value'": LINT},
    "engine/keys.py": {"'bad-expression'": LINT},
    "engine/source.py": {"'fatal'": BUG, "'state-differs'": LATER, "exc.code": LATER},
    "engine/stage.py": {
        "'behind-retention'": LATER, "'bug'": BUG, "'holding-failed'": BUG, "'state-differs'": LATER, "exc.code": LATER,
        "letter.code": "while running: an event against its contract, with `on-invalid: stop`",
    },
    "engine/state.py": {"'state-too-large'": LATER},
    "engine/worker.py": {
        "'bad-value'": LINT, "'partitions-differ'": LINT, "'single-reader'": LINT, "why.code": "lint: the same test",
    },
    "servers/http.py": {"'bad-option'": LINT},
    "servers/onnx.py": {"'bad-option'": LINT},
    "servers/onnx_model.py": {
        "'bad-model'": "the disk: what is in a model's file; `verify --online` loads it",
        "'import-failed'": "what is installed; `verify --online` loads the model",
        "'missing-file'": LINT,
    },
    "servers/protocols.py": {"'bad-option'": LINT},
    "servers/statuses.py": {"'not-authorised'": ONLINE},
    "servers/v2.py": {"'bad-option'": LINT},
    "transports/embedded.py": {
        "'bad-topic-config'": LINT, "'bad-topic-name'": LINT, "'log-cannot-open'": DISK, "'log-closed'": BUG,
        "'log-forked'": BUG, "'not-a-log'": DISK, "'not-the-worker'": DISK, "'topic-missing'": ONLINE, "exc.code": DISK,
    },
    "transports/embedded_consumer.py": {
        "'log-corrupt'": DISK, "'offset-out-of-range'": LATER, "'wrong-group'": BUG,
    },
    "transports/embedded_file.py": {
        "'log-cannot-open'": DISK, "'log-corrupt'": DISK, "'log-failed'": DISK, "'log-read-only'": DISK,
        "'log-read-only' if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else 'log-cannot-open'": DISK,
        "'log-setting'": DISK, "'network-file-system'": DISK, "'newer-format'": DISK, "'no-log'": DISK,
        "'not-a-log'": DISK, "'older-format'": DISK, "'other-application'": DISK, "'second-worker'": DISK,
        "'sqlite-too-old'": DISK, "'unsupported-platform'": DISK,
    },
    "transports/embedded_writer.py": {"'log-moved'": DISK, "'topic-differs'": ONLINE, "'topic-missing'": ONLINE},
    "transports/transport.py": {"'topic-differs'": ONLINE},
    "transports/simulated.py": {"'offset-out-of-range'": LATER, "'topic-missing'": ONLINE},
    "transports/simulated_log.py": {
        "'bad-topic-name'": LINT, "'topic-differs'": ONLINE, "'topic-missing'": ONLINE,
    },
}  # fmt: skip
"""File → the code as it is written → where it is found."""


def refusals() -> dict[str, dict[str, int]]:
    """Return file → code as written → line, of every `Fatal(…)` in the code."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted((ROOT / "streamlets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fatal":
                code = next((word.value for word in node.keywords if word.arg == "code"), None)
                written = ast.unparse(code) if code is not None else "'fatal'"
                name = path.relative_to(ROOT / "streamlets").as_posix()
                found.setdefault(name, {})[written] = node.lineno
    return found


def test_every_refusal_says_where_it_is_found_before_a_start():
    missing = [
        f"streamlets/{file}:{line}: code={code}"
        for file, codes in refusals().items()
        for code, line in codes.items()
        if code not in TABLE.get(file, {}) and code.strip("'") not in pages()
    ]
    assert missing == [], (
        "a new refusal: let the linter find it by the same code, or say in the table why it cannot"
    )


def test_what_the_table_says_that_the_linter_finds_has_its_page():
    known = set(pages())
    for codes in TABLE.values():
        for code, where in codes.items():
            if where in (LINT, ONLINE) and code.startswith("'"):
                assert code.strip("'") in known
