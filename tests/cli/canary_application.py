"""An application with a canary in every place where a secret can stand, and one in every event.

A canary is a value that stands nowhere else: whatever shows it has leaked it.
"""

from __future__ import annotations

import json
from pathlib import Path

SECRETS = {
    "CANARY_OPTION": "kq7-Option-41fa90c2",
    "CANARY_LIST": "kq7-List-98be02d1",
    "CANARY_MAP": "kq7-Map-5c33a0f7",
    "CANARY_USERINFO": "kq7-Userinfo-77d1e3",
    "CANARY_QUERY": "kq7-Query-c0ffee12",
    "CANARY_BEARER": "kq7-Bearer-a91b55d0",
    "CANARY_PLAIN_TOKEN": "kq7-PlainToken-3d20b9",
    "CANARY_LINES": "-----BEGIN-----\nkq7-FirstLine-6e01fb\nkq7-SecondLine-8a44\n-----END-----",
    "CANARY_SERVER": "kq7-Server-0b9f3312",
    "CANARY_OVERLAY": "kq7-Overlay-e5a7710c",
    "CANARY_SIGNS": "kq7-Signs-\"'\\&% +ä-9921",
}
"""Variables of the environment that hold secrets."""

MOUNTED = {
    "token.txt": "kq7-Mounted-f00d4411",
    "list.txt": "kq7-MountedList-12ab",
    "key.txt": "kq7-MountedKey-77",
}
"""Mounted files that hold secrets."""

IN_CLEAR = {
    "default": "kq7-Default-a0c1d2e3",
    "option": "kq7-ClearOption-b4e5f6",
    "userinfo": "kq7-ClearUserinfo-c7d8",
    "query": "kq7-ClearQuery-d9e0f1",
    "bearer": "kq7-ClearBearer-e2f3a4",
    "overlay": "kq7-ClearOverlay-f5a6b7",
    "repeated": "kq7-ClearRepeated-a8b9",
    "nested": "kq7-ClearNested-b0c1d2",
    "pod": "kq7-ClearPod-c3d4e5f6",
    "update": "kq7-ClearUpdate-d1e2",
}
"""Secrets that stand in a file, where they must not: the linter refuses them, and shows none."""

OUTSIDE = {"CANARY_PLAIN": "kq7-Plain-d5e6f7a8"}
"""Values of the environment in options that hold no secret: no message of the linter shows them."""

PAYLOAD = "kq7-Payload-99aa88bb"
"""Stands in every event."""

OWN = '''
import logging

from pydantic import BaseModel, SecretStr

from streamlets.errors import Broken, Rejected, Unavailable
from streamlets.ports import Emit, Inlet, OptionsBase, Outcome, Outlet

log = logging.getLogger("streamlets.own")


class Deep(OptionsBase):
    key: SecretStr


class Options(OptionsBase):
    token: SecretStr
    mounted: SecretStr
    listed: list[SecretStr]
    by_name: dict[str, SecretStr]
    deep: Deep
    lines: SecretStr
    signs: SecretStr
    laid_over: SecretStr = SecretStr("none")
    plain: str = ""
    plain_token: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    limit: int = 5
    dies: bool = False

    def all(self):
        known = [self.token, self.mounted, *self.listed, *self.by_name.values(), self.deep.key, self.lines]
        texts = [secret.get_secret_value() for secret in (*known, self.signs, self.laid_over)]
        return " and ".join([*texts, self.url, *self.headers.values(), self.plain_token])


class Row(BaseModel):
    do: str
    a: float
    text: int


class Own:
    """Uses its secrets in every careless way there is."""

    Options = Options
    inlets = (Inlet("in"),)
    outlets = (Outlet("out"),)

    def __init__(self, options, context):
        self.options = options
        self.context = context

    async def set_up(self):
        if self.options.dies:
            raise RuntimeError("no connection with " + self.options.all())
        log.warning("connected with %s", self.options.all())
        log.warning("as %r", self.options)

    async def process(self, batch):
        import orjson

        row = orjson.loads(batch.deliveries[0].value)
        said, do = self.options.all() + str(row.get("payload")), row["do"]
        if do == "raise":
            raise ValueError(said)
        if do == "chain":
            try:
                raise KeyError(said)
            except KeyError as exc:
                raise RuntimeError(said) from exc
        if do == "reject":
            raise Rejected("refused with " + self.options.all())
        if do == "break":
            raise Broken("broke with " + self.options.all(), hint="ask for " + self.options.all())
        if do == "validate":
            Row.model_validate(row)
        emits = [Emit("out", delivery.value, i) for i, delivery in enumerate(batch.deliveries)]
        return Outcome(emits=emits)

    max_events = 1


def check(row: dict) -> dict | None:
    if row["do"] == "function":
        raise ValueError(str(row))
    return row
'''

BLUEPRINT = """
name: canaries
description: secrets everywhere
streamlets:
  rows: {{ use: file, with: {{ path: rows.jsonl }} }}
  own:
    use: "careless:Own"
    with:
      token: ${{CANARY_OPTION}}
      mounted: {{ file: token.txt }}
      listed: [ "${{CANARY_LIST}}", {{ file: list.txt }} ]
      by_name: {{ first: "${{CANARY_MAP}}" }}
      deep: {{ key: {{ file: key.txt }} }}
      lines: "${{CANARY_LINES}}"
      signs: "${{CANARY_SIGNS}}"
      plain: ${{CANARY_PLAIN}}
      plain_token: ${{CANARY_PLAIN_TOKEN}}
      url: "http://user:${{CANARY_USERINFO}}@127.0.0.1:9/?token=${{CANARY_QUERY}}"
      headers: {{ Authorization: "Bearer ${{CANARY_BEARER}}" }}
      dies: ${{DIES:-false}}
  check: {{ use: "careless:check" }}
  score:
    use: score
    with:
      model: delay
      servers: [ {{ url: "{url}", headers: {{ Authorization: "Bearer ${{CANARY_SERVER}}" }} }} ]
      inputs: {{ x: [a] }}
      outputs: {{ y: y }}
      updates: {{ allow: [ "http://127.0.0.1:*" ], ready_within: 1s }}
topics:
  rows: {{ producers: [rows.out], consumers: [own.in], key: do }}
  owned: {{ producers: [own.out], consumers: [check.in] }}
  checked: {{ producers: [check.out], consumers: [score.in] }}
  predictions: {{ producers: [score.out], external: true }}
  model-updates: {{ consumers: [score.updates], compacted: true, external: true }}
"""

OVERLAY = 'streamlets: { own: { with: { laid_over: "${CANARY_OVERLAY}" } } }\n'

# One that the linter refuses, with a wrong option beside each secret, and a token given twice.
CLEAR = f"""
name: canaries
streamlets:
  own:
    use: "careless:Own"
    with:
      token: {IN_CLEAR["option"]}
      mounted: "${{UNSET_TOKEN:-{IN_CLEAR["default"]}}}"
      listed: [ {{ value: {IN_CLEAR["nested"]} }} ]
      by_name: {{ first: a, first: {IN_CLEAR["repeated"]} }}
      deep: {{ kee: "${{CANARY_OPTION}}" }}
      url: "http://user:{IN_CLEAR["userinfo"]}@127.0.0.1:9/"
      plain: "http://127.0.0.1:9/?access_token={IN_CLEAR["query"]}"
      headers: {{ Authorization: "Bearer {IN_CLEAR["bearer"]}" }}
      limit: ${{CANARY_PLAIN}}
    pod: {{ env: [ {{ name: API_TOKEN, value: {IN_CLEAR["pod"]} }} ] }}
  nobody: {{ use: "${{CANARY_PLAIN}}" }}
topics:
  rows: {{ external: true, consumers: [own.in], retention: "${{CANARY_PLAIN}}", partitions: {IN_CLEAR["option"]} }}
  "out": {{ producers: ["own.${{CANARY_PLAIN}}"], key: "${{CANARY_OPTION}} +" , external: true }}
"""

CLEAR_OVERLAY = f"""
streamlets: {{ own: {{ with: {{ signs: "{IN_CLEAR["overlay"]}", lines: {{ file: none.txt }} }} }} }}
"""

CASES = f"""
- name: a row goes through
  given: {{ rows: [ {{ do: pass, a: 1, payload: {PAYLOAD} }} ] }}
  models: {{ score: [ {{ y: 1 }} ] }}
  expect: {{ checked: [ {{ do: other }} ] }}
- name: a row is refused
  given: {{ rows: [ {{ do: reject, a: 1, payload: {PAYLOAD} }} ] }}
  expect: {{ checked: [ {{ do: other }} ] }}
"""

DEEDS = ("pass", "raise", "chain", "reject", "break", "validate", "function", "refused", "pass")


def write(folder: Path, url: str) -> dict[str, str]:
    """Write the application and return the environment that it wants."""
    (folder / "careless.py").write_text(OWN)
    (folder / "app.yaml").write_text(BLUEPRINT.format(url=url))
    (folder / "app_test.yaml").write_text(CASES)
    (folder / "over.yaml").write_text(OVERLAY)
    (folder / "clear.yaml").write_text(CLEAR)
    (folder / "clear-over.yaml").write_text(CLEAR_OVERLAY)
    for name, secret in MOUNTED.items():
        (folder / name).write_text(f"{secret}\n")
    rows = [{"do": do, "a": float(i), "payload": PAYLOAD, "text": PAYLOAD} for i, do in enumerate(DEEDS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {**SECRETS, **OUTSIDE}


def leaks(text: str, payload: bool = True) -> list[str]:
    """Return the canaries in a text; of a secret of several lines each line is one."""
    every = [*SECRETS.values(), *MOUNTED.values(), *IN_CLEAR.values()]
    parts = [part for secret in every for part in secret.splitlines() if part.startswith("kq7-")]
    parts += [part.partition('"')[0] for part in parts if '"' in part]  # up to the first sign that is escaped
    return [part for part in [*parts, *([PAYLOAD] if payload else [])] if part in text]
