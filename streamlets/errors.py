"""Errors, typed by what to do about them.

A foreign error is translated once, at the edge where it was met, with `raise … from exc`.
A message says where, what and what next; it never holds a payload or a secret.
"""

from __future__ import annotations


class StreamletsError(Exception):
    """A failure that says what happened (`message`), which one it is (`code`) and what to do (`hint`)."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Unavailable(StreamletsError):
    """An outage, not the event's fault: wait and try again. Nothing is dead-lettered because of it.

    `retry_after_s` is the wait that the other side asked for, or None.
    """

    code = "unavailable"

    def __init__(
        self, message: str, *, code: str | None = None, hint: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class Rejected(StreamletsError):
    """This event will never work: undecodable, against its contract, refused for what it is."""

    code = "rejected"


class Broken(StreamletsError):
    """Unexpected: a 500, an exception, an answer of the wrong length, shape or type. Retried, then judged."""

    code = "broken"


class Fatal(StreamletsError):
    """The stage cannot go on: misconfigured, fenced, not authorised. It stops and says why.

    `exit_code`: 1 to 127 when a restart will not help, 128 to 255 when it may.
    """

    code = "fatal"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message, code=code, hint=hint)
        self.exit_code = exit_code
