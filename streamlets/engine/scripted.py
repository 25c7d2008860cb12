"""Scripted model servers: what the models of a blueprint test answer, by the rules of the case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blueprints.cases import Rule
from blueprints.diagnostics import Mark
from blueprints.expressions import ExpressionError
from blueprints.suggest import did_you_mean
from streamlets.errors import Broken, Rejected, Unavailable
from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ModelServer, ServerSpec, Tensor
from streamlets.ports import Clock

Say = Callable[[Mark | None, str], None]
"""Called with the rule's place, where there is one, and what is wrong with the case."""

_DATATYPES = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


class ScriptedServers:
    """The model servers of one case: any address serves any model that the case names.

    `change` gives models other rules from then on. `away`: models that were asked while they were away.
    """

    def __init__(self, clock: Clock, say: Say) -> None:
        self.rules: dict[str, Sequence[Rule]] = {}
        self.away: set[str] = set()
        self.clock = clock
        self.say = say

    def change(self, models: Mapping[str, Sequence[Rule]]) -> None:
        """Let these models answer by these rules; the others stay as they are."""
        self.rules.update(models)

    def of(self, model: str, url: str) -> list[Rule] | None:
        """Return the rules of a model at a server; None where the case does not have the model."""
        rules = self.rules.get(model)
        return None if rules is None else [one for one in rules if one.server in (None, url)]

    def open(self, protocol: str, spec: ServerSpec) -> ModelServer:
        """Return a client; what it answers depends on the model, and on the server where a rule names it."""
        return _Client(self, spec)


class _Client:
    def __init__(self, servers: ScriptedServers, spec: ServerSpec) -> None:
        self._servers = servers
        self._spec = spec

    async def is_ready(self, model: str, version: str | None) -> bool:
        rules = self._servers.of(model, self._spec.url)
        if rules and rules[0].when is None and rules[0].error == "unavailable":
            self._servers.away.add(model)
            return False
        return True

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        return None

    async def infer(self, request: InferRequest) -> InferAnswer:
        rules = self._servers.of(request.model, self._spec.url)
        if rules is None:
            hint = did_you_mean(request.model, self._servers.rules) or "; add it under 'models' of the case"
            self._servers.say(None, f"model '{request.model}' was called{hint}")
            raise Rejected(f"the case has no model '{request.model}'", code="model-missing")
        chosen = [self._choose(request.model, rules, row) for row in rows_of(request)]
        await self._take(max((rule.takes_s for rule in chosen), default=0.0))
        for rule in chosen:
            if rule.error == "unavailable":
                self._servers.away.add(request.model)
                raise Unavailable(f"model {request.model!r} is unavailable in this case")
            if rule.error == "rejected":
                raise Rejected(f"model {request.model!r} rejects in this case")
            if rule.error == "broken":
                raise Broken(f"model {request.model!r} is broken in this case")
        return InferAnswer(
            model=request.model,
            version=chosen[0].version if chosen else None,
            outputs=self._tensors(request.model, chosen),
        )

    async def close(self) -> None:
        pass

    async def _take(self, seconds: float) -> None:
        """Let the call take its time. Raises: Unavailable where that is more than the caller waits."""
        if seconds > self._spec.timeout_s:
            await self._servers.clock.sleep(self._spec.timeout_s)
            raise Unavailable(f"no answer within {self._spec.timeout_s:g} s", code="timeout")
        if seconds:
            await self._servers.clock.sleep(seconds)

    def _choose(self, model: str, rules: Sequence[Rule], row: Mapping[str, Any]) -> Rule:
        for rule in rules:
            try:
                if rule.when is None or rule.when.evaluate(row) is True:
                    return rule
            except ExpressionError as exc:
                self._servers.say(rule.mark, f"'when' over the inputs {', '.join(row)}: {exc}")
        self._servers.say(None, f"no answer of model '{model}' fits a row; end its list with a 'default'")
        raise Rejected(f"no answer of model {model!r} fits", code="no-answer")

    def _tensors(self, model: str, chosen: Sequence[Rule]) -> list[Tensor]:
        names = list(chosen[0].answer or {}) if chosen else []
        tensors = []
        for name in names:
            values = []
            for rule in chosen:
                if list(rule.answer or {}) != names:
                    self._servers.say(rule.mark, f"this answer of '{model}' has other tensors than {names}")
                    raise Rejected(f"answers of model {model!r} differ in their tensors", code="bad-answer")
                values.append((rule.answer or {})[name])
            tensors.append(tensor(name, values))
        return tensors


def tensor(name: str, rows: Sequence[Any]) -> Tensor:
    """Return the tensor of one value, or one list of values, for each row."""
    shape, flat = [len(rows)], list(rows)
    while flat and all(isinstance(value, list) for value in flat):
        shape.append(len(flat[0]))
        flat = [item for value in flat for item in value]
    kinds = {type(value) for value in flat}
    kind = kinds.pop() if len(kinds) == 1 else float
    if kind is float:
        flat = [float(value) for value in flat]
    return Tensor(name=name, datatype=_DATATYPES.get(kind, "BYTES"), shape=shape, data=flat)


def rows_of(request: InferRequest) -> list[dict[str, Any]]:
    """Return the rows of a call: input → value, or list of values where a row of the tensor has several."""
    n_rows = request.inputs[0].shape[0] if request.inputs else 0
    rows: list[dict[str, Any]] = [{} for _ in range(n_rows)]
    for one in request.inputs:
        width = math.prod(one.shape[1:])
        for index, row in enumerate(rows):
            at = index * width
            row[one.name] = one.data[at] if len(one.shape) == 1 else list(one.data[at : at + width])
    return rows
