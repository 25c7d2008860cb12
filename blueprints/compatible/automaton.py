"""The shortest text that some patterns match and others do not, or that there is none.

Patterns become automata that are walked side by side, breadth first. What no finite automaton says (look-around, back
references, word boundaries, flags) is left undecided. Dialects of patterns differ in what `.`, `\\d`, `\\w` and `\\s`
hold beyond ASCII, so both readings are tried: there is no such text only if there is none in either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

MAX_STATES = 1_000  # of one automaton: `{0,100000}` is left undecided
MAX_WALKED = 4_000  # positions of the walk; about 50 ms
MAX_BUT = 50  # texts that are passed over
_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)  # in no JSON text

Ranges = tuple[tuple[int, int], ...]
_ANY: Ranges = ((0, _LAST),)


class Unsupported(Exception):
    """A pattern that no finite automaton says, or one too large."""


@dataclass(slots=True)
class _Machine:
    """States are numbers. `steps`: by characters; `free`: without one, at the start or the end only where said."""

    steps: list[list[tuple[Ranges, int]]] = field(default_factory=list)
    free: list[list[tuple[str, int]]] = field(default_factory=list)
    first: int = 0
    last: int = 0

    def new(self) -> int:
        if len(self.steps) >= MAX_STATES:
            raise Unsupported
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def closed(self, states: Iterable[int], start: bool, end: bool) -> frozenset[int]:
        """Return the states reached without a character."""
        seen, waiting = set(states), list(states)
        while waiting:
            for where, to in self.free[waiting.pop()]:
                if to not in seen and (where == "" or (where == "^" and start) or (where == "$" and end)):
                    seen.add(to)
                    waiting.append(to)
        return frozenset(seen)

    def moved(self, states: frozenset[int], char: int) -> frozenset[int]:
        return frozenset(
            to
            for state in states
            for ranges, to in self.steps[state]
            if any(a <= char <= b for a, b in ranges)
        )


class _Reader:
    """A parser of patterns that builds the machine as it reads. `wide`: the reading beyond ASCII."""

    def __init__(self, pattern: str, wide: bool) -> None:
        self.text, self.at, self.wide, self.machine = pattern, 0, wide, _Machine()

    def machine_of(self) -> _Machine:
        machine = self.machine
        machine.first = machine.new()
        machine.steps[machine.first].append((_ANY, machine.first))  # a pattern matches anywhere in the text
        start, end = self._choice()
        if self.at < len(self.text):
            raise Unsupported
        machine.free[machine.first].append(("", start))
        machine.last = machine.new()
        machine.free[end].append(("", machine.last))
        machine.steps[machine.last].append((_ANY, machine.last))
        return machine

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise Unsupported
        self.at += 1
        return char

    def _choice(self) -> tuple[int, int]:
        start, end = self.machine.new(), self.machine.new()
        while True:
            a, b = self._sequence()
            self.machine.free[start].append(("", a))
            self.machine.free[b].append(("", end))
            if self._peek() != "|":
                return start, end
            self.at += 1

    def _sequence(self) -> tuple[int, int]:
        start = end = self.machine.new()
        while self._peek() not in ("", "|", ")"):
            begin = self.at
            a, b = self._atom()
            low, high = self._times()
            if (low, high) != (1, 1):
                a, b = self._repeated(a, b, begin, low, high)
            self.machine.free[end].append(("", a))
            end = b
        return start, end

    def _repeated(self, a: int, b: int, begin: int, low: int, high: int | None) -> tuple[int, int]:
        """Write an atom out as often as it may stand; the copies are read anew from the pattern."""
        machine, after = self.machine, self.at
        start = end = machine.new()
        skips = []
        for index in range(max(low, 1) if high is None else high):
            if index:
                self.at = begin
                a, b = self._atom()
            if index >= low:
                skips.append(end)
            machine.free[end].append(("", a))
            if high is None and index == max(low, 1) - 1:
                loop = machine.new()
                machine.free[b].append(("", loop))
                machine.free[loop].append(("", a))
                b = loop
            end = machine.new()
            machine.free[b].append(("", end))
        for state in skips:
            machine.free[state].append(("", end))
        self.at = after
        return start, end

    def _times(self) -> tuple[int, int | None]:
        char = self._peek()
        found: tuple[int, int | None] = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(char, (1, 1))
        if char and char in "*+?":
            self.at += 1
        elif char == "{":
            close = self.text.find("}", self.at)
            low, comma, high = self.text[self.at + 1 : close].partition(",")
            if close < 0 or not low.isdecimal() or (high and not high.isdecimal()):
                raise Unsupported
            found = (int(low), int(high) if high else None if comma else int(low))
            if max(found[0], found[1] or 0) > MAX_STATES or (found[1] is not None and found[1] < found[0]):
                raise Unsupported
            self.at = close + 1
        else:
            return found
        if self._peek() == "?":
            self.at += 1  # a lazy repetition matches the same texts
        elif self._peek() in ("*", "+", "{") and self._peek():
            raise Unsupported
        return found

    def _atom(self) -> tuple[int, int]:
        char = self._take()
        if char == "(":
            if self._peek() == "?":
                if self.text[self.at : self.at + 2] != "?:":
                    raise Unsupported
                self.at += 2
            found = self._choice()
            if self._take() != ")":
                raise Unsupported
            return found
        start, end = self.machine.new(), self.machine.new()
        if char in "^$":
            self.machine.free[start].append((char, end))
        else:
            self.machine.steps[start].append((self._ranges(char), end))
        return start, end

    def _ranges(self, char: str) -> Ranges:
        if char == ".":
            return _without(((10, 10),) if self.wide else ((10, 10), (13, 13), (0x2028, 0x2029)))
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?{}])":
            raise Unsupported
        return ((ord(char), ord(char)),)

    def _class(self) -> Ranges:
        negated = self._peek() == "^"
        self.at += negated
        parts: list[tuple[int, int]] = []
        while self._peek() != "]":
            char = self._take()
            if char in "[&~" and self._peek() in (char, ":"):
                raise Unsupported  # set operations of some dialects
            ranges = self._escape() if char == "\\" else ((ord(char), ord(char)),)
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                char = self._take()
                upper = self._escape() if char == "\\" else ((ord(char), ord(char)),)
                if len(ranges) != 1 or len(upper) != 1 or ranges[0][0] > upper[0][1]:
                    raise Unsupported
                ranges = ((ranges[0][0], upper[0][1]),)
            parts.extend(ranges)
        self.at += 1
        if not parts:
            raise Unsupported
        return _without(parts) if negated else tuple(parts)

    def _escape(self) -> Ranges:
        char = self._take()
        if char in "dDwWsS":
            ranges = _CLASSES[char.lower()] + (_BEYOND[char.lower()] if self.wide else ())
            return _without(ranges) if char.isupper() else ranges
        if char in _CONTROLS:
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if char in "xu":
            digits = self.text[self.at : self.at + (2 if char == "x" else 4)]
            if len(digits) != (2 if char == "x" else 4) or not all(
                c in "0123456789abcdefABCDEF" for c in digits
            ):
                raise Unsupported
            self.at += len(digits)
            return ((int(digits, 16), int(digits, 16)),)
        if char.isalnum():
            raise Unsupported  # \b, \1, \p{…} …
        return ((ord(char), ord(char)),)


_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11}
_CLASSES: dict[str, Ranges] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
# A few that the wider reading holds besides: enough to tell the two apart.
_BEYOND: dict[str, Ranges] = {
    "d": ((0x660, 0x669),),
    "w": ((0x660, 0x669), (0xE0, 0xF6)),
    "s": ((0xA0, 0xA0), (0x2003, 0x2003)),
}


def _without(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return all characters but these."""
    kept, low = [], 0
    for a, b in sorted(ranges):
        if a > low:
            kept.append((low, a - 1))
        low = max(low, b + 1)
    return (*kept, (low, _LAST)) if low <= _LAST else tuple(kept)


@lru_cache(maxsize=256)
def _machine(pattern: str, wide: bool) -> _Machine | None:
    try:
        return _Reader(pattern, wide).machine_of()
    except (Unsupported, RecursionError):
        return None


def _literal(text: str) -> _Machine:
    machine = _Machine()
    machine.first = state = machine.new()
    for char in text:
        machine.steps[state].append((((ord(char), ord(char)),), state := machine.new()))
    machine.last = state
    return machine


@lru_cache(maxsize=4096)
def matches(pattern: str, text: str) -> bool | None:
    """Return whether a pattern matches; None where the dialects differ or no automaton says it."""
    answers = set()
    for wide in (False, True):
        machine = _machine(pattern, wide)
        if machine is None:
            return None
        states = frozenset([machine.first])
        for index, char in enumerate(text):
            states = machine.moved(machine.closed(states, index == 0, False), ord(char))
        answers.add(machine.last in machine.closed(states, not text, True))
    return answers.pop() if len(answers) == 1 else None


@lru_cache(maxsize=1024)
def shortest(
    matched: frozenset[str],
    unmatched: frozenset[str],
    min_length: int,
    max_length: int | None,
    but: frozenset[str] = frozenset(),
) -> tuple[str | None, ...]:
    """Return candidates, at most one for each reading; then None unless it is proved that there is no text at all.

    Texts in `but` are passed over.
    """
    passed = [text for text in sorted(but)[:MAX_BUT] if len(text) < MAX_STATES]
    is_proved, candidates = len(passed) == len(but), []
    for wide in (False, True):
        wanted = [_machine(pattern, wide) for pattern in sorted(matched)]
        unwanted = [_machine(pattern, wide) for pattern in sorted(unmatched)]
        found = _walk(
            [machine for machine in wanted if machine is not None],
            [*(machine for machine in unwanted if machine is not None), *map(_literal, passed)],
            min_length,
            max_length,
        )
        if isinstance(found, str):
            candidates.append(found)
        is_proved = is_proved and found is False
    return tuple(candidates) if is_proved else (*candidates, None)


def _walk(
    wanted: Sequence[_Machine], unwanted: Sequence[_Machine], min_length: int, max_length: int | None
) -> str | bool | None:
    """Return the shortest text, False where there is none, None where the walk grew too long."""
    machines = (*wanted, *unwanted)
    alphabet = _alphabet(machines)
    cap = min_length if max_length is None else max_length + 1
    if cap > MAX_WALKED:
        return None
    start = tuple(frozenset([machine.first]) for machine in machines)
    seen, layer, length = {(start, 0)}, [(start, "")], 0
    while layer:
        following = []
        for states, text in layer:
            at_start = length == 0
            if length >= min_length and all(
                (machine.last in machine.closed(held, at_start, True)) == (index < len(wanted))
                for index, (machine, held) in enumerate(zip(machines, states, strict=True))
            ):
                return text
            if max_length is not None and length >= max_length:
                continue
            closed = [m.closed(held, at_start, False) for m, held in zip(machines, states, strict=True)]
            for char in alphabet:
                after = tuple(m.moved(held, char) for m, held in zip(machines, closed, strict=True))
                if not all(after[: len(wanted)]):
                    continue
                place = (after, min(length + 1, cap))
                if place not in seen:
                    if len(seen) >= MAX_WALKED:
                        return None
                    seen.add(place)
                    following.append((after, text + chr(char)))
        layer, length = following, length + 1
    return False


def _alphabet(machines: Sequence[_Machine]) -> list[int]:
    """Return one character for each group that no machine tells apart."""
    sets = {ranges for machine in machines for state in machine.steps for ranges, _ in state}
    edges = {0, _SURROGATES[0], _SURROGATES[1] + 1, 97, 123, 48, 58}
    for ranges in sets:
        for a, b in ranges:
            edges |= {a, b + 1}
    ordered = sorted(edge for edge in edges if edge <= _LAST)
    ordered.sort(key=lambda c: (not 97 <= c <= 122, not 48 <= c <= 57, not 32 < c < 127, c))
    chosen: dict[tuple[bool, ...], int] = {}
    for char in ordered:
        if not _SURROGATES[0] <= char <= _SURROGATES[1]:
            held = tuple(any(a <= char <= b for a, b in ranges) for ranges in sets)
            chosen.setdefault(held, char)
    return list(chosen.values())
