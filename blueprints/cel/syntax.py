"""What is wrong with a text that is no CEL, in words that say what to write instead.

The engine's parser says where it gave up; what was meant lies in the lexemes: `and` for `&&`, `=` for `==`, a quote
that is not closed. What no rule here knows is told by the place alone.
"""

from __future__ import annotations

import re
from typing import Final

from blueprints.cel.lexemes import Lexeme, Problem, lexemes

_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_ESCAPE = re.compile(
    r"""\\(?:[abfnrtv\\'"`?]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|(?P<bad>.?))""",
    re.DOTALL,
)

_ABSENT = "for a value that may be absent write has(a.b) ? a.b : other"
_SIGNS: Final = {
    "=": "'=' compares nothing; write '=='",
    "===": "'===' is written '=='",
    "!==": "'!==' is written '!='",
    "<>": "'<>' is written '!='",
    "=<": "'=<' is written '<='",
    "=>": "'=>' is written '>='",
    "=~": "'=~' is written text.matches(pattern)",
    "!~": "'!~' is written !text.matches(pattern)",
    "&": "'&' is written '&&'",
    "&amp;": "'&amp;' is written '&'",
    "&lt;": "'&lt;' is written '<'",
    "&gt;": "'&gt;' is written '>'",
    "|": "'|' is written '||'",
    "+=": "an expression sets nothing; to compare write '=='",
    "-=": "an expression sets nothing; to compare write '=='",
    ":=": "an expression sets nothing; to compare write '=='",
    "++": "an expression sets nothing; write x + 1",
    "**": "CEL has no powers; write x * x",
    "^": "CEL has no '^'; a power is written x * x, one of two as a != b",
    "->": "a field is reached by '.'",
    "??": f"CEL has no '??'; {_ABSENT}",
    "?:": f"CEL has no '?:'; {_ABSENT}",
    "?.": f"CEL has no '?.'; {_ABSENT}",
    ".?": f"CEL has no '.?'; {_ABSENT}",
    "..": "one dot too many",
    "/*": "a comment begins with '//'",
    "#": "a comment begins with '//'",
    ";": "an expression is one value; nothing can follow it after a ';'",
    "$": "a field is written without '$'",
    "${": "what stands in ${…} is filled in by the blueprint alone; a field is written without '$'",
    "@": "a field is written without '@'; the event's attributes are event.id, event.type …",
    "\\": "a backslash stands in text only",
    "`": "text stands in straight quotes: 'text'",
    "~": "there is no '~'; a pattern is asked by text.matches(pattern)",
    **dict.fromkeys("“”„«»‘’‚´", "text stands in straight quotes: 'text'"),
    **dict.fromkeys("−–—", "minus is written '-'"),
    "≥": "'≥' is written '>='",
    "≤": "'≤' is written '<='",
    "≠": "'≠' is written '!='",
    "×": "'×' is written '*'",
    "÷": "'÷' is written '/'",
    "¬": "'¬' is written '!'",
    "∧": "'∧' is written '&&'",
    "∨": "'∨' is written '||'",
    "∈": "'∈' is written 'in'",
    "…": "three dots mean nothing in CEL",
}
_BETWEEN: Final = {
    "and": "'{}' is written '&&'",
    "or": "'{}' is written '||'",
    "xor": "'{}' is written '!='",
    "eq": "'{}' is written '=='",
    "ne": "'{}' is written '!='",
    "lt": "'{}' is written '<'",
    "le": "'{}' is written '<='",
    "gt": "'{}' is written '>'",
    "ge": "'{}' is written '>='",
    "mod": "'{}' is written '%'",
    "div": "'{}' is written '/'",
    "is": "'{}' is written '=='",
    "like": "'{}' is written text.contains(part), text.startsWith(start) or text.matches(pattern)",
    "ilike": "'{}' is written text.matches('(?i)part')",
    "rlike": "'{}' is written text.matches(pattern)",
    "matches": "'{}' is written text.matches(pattern)",
    "contains": "'{}' is written text.contains(part)",
    "startswith": "'{}' is written text.startsWith(start)",
    "endswith": "'{}' is written text.endsWith(end)",
    "between": "'{}' is written x >= 1 && x <= 2",
    "if": "'{}' is written condition ? one : other",
    "then": "'{}' is written condition ? one : other",
    "else": "'{}' is written condition ? one : other",
}
_BEFORE: Final = {
    "not": "'{}' is written '!'",
    "if": "'{}' is written condition ? one : other",
    "case": "'{}' is written condition ? one : other",
    "when": "'{}' is left away: the condition alone is wanted",
    "where": "'{}' is left away: the condition alone is wanted",
    "return": "'{}' is left away: the value alone is wanted",
    "select": "'{}' is left away: the value alone is wanted",
    "let": "an expression sets nothing; leave '{}' away",
    "var": "an expression sets nothing; leave '{}' away",
    "const": "an expression sets nothing; leave '{}' away",
    "lambda": "CEL has no functions of its own; leave '{}' away",
}
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}


def explained(text: str, said: str) -> Problem:
    """Return what is wrong with a text that the engine refused to parse, saying `said`."""
    if "recursion" in said:
        return Problem(
            0, len(text), "it is nested too deeply; 32 levels are the most, and each '+' of a sum is one"
        )
    found = list(lexemes(text))
    if not found:
        return Problem(0, 0, "it is empty")
    problem = _by_lexemes(text, found) or _macro(text, said) or _by_brackets(found)
    if problem is not None:
        return problem
    return _by_place(text, found, said)


def place_of(text: str, said: str) -> tuple[int, str] | None:
    """Return where in the text the engine's first complaint lies and its reason; None where it names no place."""
    error = _ERROR.search(said)
    if error is None:
        return None
    lines = text.split("\n")
    line, column = int(error[1]), int(error[2])
    if line > len(lines):  # the engine counts from -1 where it knows no place
        return None
    at = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
    return min(at, len(text)), re.sub(r" \[[A-Z_]+\]$", "", error[3])


def _by_lexemes(text: str, found: list[Lexeme]) -> Problem | None:
    """Return the first lexeme that is never right where it stands."""
    brackets: list[Lexeme] = []
    for index, this in enumerate(found):
        before = found[index - 1] if index else None
        after = found[index + 1] if index + 1 < len(found) else None
        problem = _wrong(this, before, after, found[index + 2 : index + 3], brackets)
        if problem is not None:
            return problem
        if this.text in _PAIRS.values():
            brackets.append(this)
        elif this.text in _PAIRS and brackets:
            brackets.pop()
    return None


def _wrong(
    this: Lexeme, before: Lexeme | None, after: Lexeme | None, later: list[Lexeme], brackets: list[Lexeme]
) -> Problem | None:
    text, word = this.text, this.text.lower()
    follows_value = before is not None and before.ends_value and before.text not in _BETWEEN
    is_adjacent = before is not None and before.end == this.at
    if this.kind == "unclosed":
        if is_adjacent and before is not None and before.kind == "name":
            return Problem(
                this.at, 1, "a quote inside text ends it; write the text in quotes of the other kind"
            )
        return Problem(this.at, 1, "this quote is not closed")
    if this.kind == "string":
        bad = _bad_escape(this)
        if bad is not None:
            return bad
    if this.kind == "word":
        at = this.at
        if is_adjacent and before is not None and before.kind == "name":
            at, text = before.at, before.text + text  # one word to whoever wrote it
        return Problem(at, len(text), f"CEL cannot name '{text}'; write event.data['{text}']")
    if this.kind == "sign" and text in _SIGNS:
        return Problem(this.at, len(text), _SIGNS[text])
    if this.kind == "sign" and not text.isascii():
        return Problem(this.at, len(text), f"'{text}' is no part of CEL")
    if this.kind == "name" and not (before is not None and before.text == "."):
        is_call = after is not None and after.text == "("
        if follows_value and word == "not" and after is not None and after.text.lower() == "in":
            return Problem(this.at, after.end - this.at, f"'{text} {after.text}' is written !(a in b)")
        if follows_value and word == "is" and after is not None and after.text.lower() == "not":
            return Problem(this.at, after.end - this.at, f"'{text} {after.text}' is written '!='")
        if follows_value and word in _BETWEEN:
            return Problem(this.at, len(text), _BETWEEN[word].format(text))
        is_before_value = after is not None and after.begins_value and not is_call and after.text != "-"
        if not follows_value and word in _BEFORE and is_before_value:
            return Problem(this.at, len(text), _BEFORE[word].format(text))
        if word == "in" and text != "in" and follows_value:
            return Problem(this.at, len(text), f"'{text}' is written 'in'")
        if text == "in" and is_call and later and _is_list(after, later):
            return Problem(after.at if after else this.at, 1, "a list stands in square brackets: [1, 2]")
    if follows_value and before is not None and this.kind in ("name", "number", "string") and text != "in":
        return _after_value(this, before, is_adjacent)
    if (
        text == ","
        and before is not None
        and after is not None
        and before.kind == after.kind == "number"
        and before.end == this.at
        and this.end == after.at
        and not brackets
    ):
        return Problem(before.at, after.end - before.at, "a number is written without ','")
    if (
        text == "]"
        and before is not None
        and before.text == "["
        and brackets[-2:-1] != []
        and len(brackets) < 1
    ):
        return None
    return None


def _is_list(opening: Lexeme | None, later: list[Lexeme]) -> bool:
    return opening is not None and later[0].kind in ("string", "number")


def _after_value(this: Lexeme, before: Lexeme, is_adjacent: bool) -> Problem:
    if is_adjacent and before.kind == "number" and this.kind == "name":
        whole = before.text + this.text
        if this.text.startswith("_"):
            return Problem(before.at, len(whole), "a number is written without '_'")
        return Problem(before.at, len(whole), f"'{whole}' is no number: it carries no unit and no letters")
    if is_adjacent and this.kind == "number" and this.text.startswith("."):
        return Problem(this.at, len(this.text), f"an item of a list is written [{this.text[1:]}]")
    if is_adjacent and before.kind == "string" and this.kind in ("name", "string"):
        return Problem(
            this.at, len(this.text), "a quote inside text ends it; write the text in quotes of the other kind"
        )
    return Problem(
        this.at, len(this.text), f"an operator is missing before {_shown(this)}, such as '==', '&&' or '+'"
    )


def _bad_escape(string: Lexeme) -> Problem | None:
    start = re.match("[rRbB]*", string.text)
    if start is not None and "r" in start[0].lower():
        return None
    for escape in _ESCAPE.finditer(string.text):
        if escape["bad"] is not None:
            shown = f"\\{escape['bad']}"
            return Problem(
                string.at + escape.start(),
                len(shown),
                f"'{shown}' is no escape in text; write '\\{shown}', or the text as r'…', which has none",
            )
    return None


def _macro(text: str, said: str) -> Problem | None:
    place = place_of(text, said)
    if place is None:
        return None
    at, reason = place
    if "argument must be a field selection" in reason:
        rest = text[at:]
        name = re.match(r"\s*([A-Za-z_]\w*)\s*\)", rest)
        if name:
            return Problem(
                at,
                len(name[1]),
                f"has() asks for a field of something; for this one write has(event.data.{name[1]})",
            )
        return Problem(at, 1, "has() asks for a field: has(a.b)")
    if "variable name must be" in reason:
        macro = reason.partition("(")[0]
        return Problem(at, 1, f"{macro} is written list.{macro}(item, …): first a name for the item")
    if reserved := re.match(r"reserved identifier: (\w+)", reason):
        word = reserved[1]
        message = f"CEL keeps the word '{word}' to itself; a field of that name is event.data.{word}"
        return Problem(at, len(word), message)
    if literal := re.match(r"invalid (\w+) literal", reason):
        kinds = {"int": "whole numbers", "uint": "whole numbers"}
        message = f"{kinds.get(literal[1], 'numbers')} have at most 64 bits"
        length = re.match(r"[0-9a-zA-Z.]*", text[at:])
        return Problem(at, len(length[0]) if length else 1, message)
    return None


def _by_brackets(found: list[Lexeme]) -> Problem | None:
    open_: list[Lexeme] = []
    for this in found:
        if this.kind != "sign":
            continue
        if this.text in _PAIRS.values():
            open_.append(this)
        elif this.text in _PAIRS:
            if not open_:
                return Problem(this.at, 1, f"this '{this.text}' closes nothing")
            opened = open_.pop()
            if opened.text != _PAIRS[this.text]:
                return Problem(this.at, 1, f"'{this.text}' closes no '{opened.text}'")
    if open_:
        return Problem(open_[-1].at, 1, f"this '{open_[-1].text}' is not closed")
    return None


def _by_place(text: str, found: list[Lexeme], said: str) -> Problem:
    place = place_of(text, said)
    if place is None:
        return Problem(0, len(text), "it is no CEL")
    at = place[0]
    here = next((lexeme for lexeme in found if lexeme.end > at), None)
    before = next((lexeme for lexeme in reversed(found) if lexeme.end <= at), None)
    question = next((lexeme for lexeme in found if lexeme.text == "?"), None)
    if question is not None and not any(lexeme.text == ":" for lexeme in found):
        return Problem(question.at, 1, "'?' has two branches: condition ? one : other")
    if here is None:
        after = f" after {_shown(before)}" if before is not None else ""
        return Problem(len(text.rstrip()), 0, f"it ends too early: a value is missing{after}")
    if here.text == ":":
        return Problem(here.at, 1, "':' stands in condition ? one : other, and in {key: value}, alone")
    if here.text == "," and before is not None:
        return Problem(
            here.at, 1, "',' stands between the items of a list and the arguments of a function alone"
        )
    if not here.begins_value and (before is None or not before.ends_value):
        what = f"a value is missing before {_shown(here)}"
        return Problem(here.at, len(here.text), what)
    return Problem(here.at, len(here.text), f"{_shown(here)} does not belong here")


def _shown(lexeme: Lexeme) -> str:
    """Return a lexeme as messages show it; text is in quotes as it is."""
    text = lexeme.text if len(lexeme.text) <= 30 else f"{lexeme.text[:29]}…"
    return text if lexeme.kind == "string" else f"'{text}'"
