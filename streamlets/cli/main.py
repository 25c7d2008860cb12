"""The `streamlets` command: a table of commands, each in a file of its own that is imported when it is called.

Exit codes: 0 done, 1 problems found or work refused, 64 wrong usage, 70 a bug of ours, 128 and more: try again.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

# Loaded before any folder of the user's goes on the path: a module called `detectors` there must not take ours' place.
import blueprints  # noqa: F401
import deploy  # noqa: F401
import detectors  # noqa: F401

COMMANDS: Final = {
    "demo": "watch real flights being scored, the model replaced, and drift",
    "run": "run an application",
    "account": "count the events of an application: is one missing?",
    "inspect": "show the events at a port",
    "dead-letters": "show events that could not be processed, and why",
    "models": "which models are served; deploy one, go back",
    "new": "write a working application with its test",
    "verify": "find every problem of a blueprint, before anything runs",
    "test": "run a blueprint's tests, in virtual time and without a broker",
    "explain": "say what a problem's code means, with a bad and a good example",
    "graph": "draw a blueprint's streamlets and the topics between them",
    "diff": "say what a changed blueprint does to an application that runs",
    "schema": "print the JSON Schema of blueprints, for editors",
    "model-server": "serve ONNX models, for development and tests",
}
"""Command → what it does. `dead-letters` is the function `dead_letters` of `streamlets/cli/dead_letters.py`."""

USAGE_EXIT: Final = 64  # EX_USAGE of sysexits.h
BUG_EXIT: Final = 70  # EX_SOFTWARE
INTERRUPTED_EXIT: Final = 130  # 128 + SIGINT, what a shell reports
MAY_HELP_EXIT: Final = 128  # an outage: a restart later may do


class Commands(click.Group):
    """Commands by the table. `--debug` is understood before and after the command's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"streamlets.cli.{name}"), name)
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *inner):
            if not any(param.name == "debug" for param in one.params):
                one.params.append(_debug_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from blueprints.suggest import did_you_mean

            hint = did_you_mean(args[0], COMMANDS) if args else ""
            raise click.UsageError(f"there is no command '{args[0]}'{hint}", ctx) from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta["streamlets.debug"] = True


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"streamlets {version('streamlets')}")
        ctx.exit()


@click.command(
    cls=Commands, params=[_debug_option()], context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it."
)
def streamlets() -> None:
    """Event-driven streaming inference: one blueprint, scored events, models that change while it runs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit the process with its code."""
    # Imports make a hundred thousand objects that stay: looking through them again and again is a tenth of a start.
    gc.set_threshold(100_000, 20, 50)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of a command; what went wrong has been said on standard error."""
    ctx: click.Context | None = None
    try:
        with streamlets.make_context("streamlets", list(arguments)) as ctx:
            outcome = streamlets.invoke(ctx)
            sys.stdout.flush()
            return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.UsageError as exc:
        exc.show()
        return USAGE_EXIT
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except Exception as exc:  # noqa: BLE001 - the last line of defence, and it tells which error is whose
        if ctx is not None and ctx.meta.get("streamlets.debug"):
            from streamlets.cli.tracebacks import as_text, veil_of

            click.echo(as_text(exc, veil_of(ctx)), err=True, nl=False)
        return _say(exc, ctx)


def _say(exc: Exception, ctx: click.Context | None) -> int:
    """Return the exit code of an error after saying where, what and what next."""
    from blueprints.diagnostics import BlueprintError
    from streamlets.cli.tracebacks import veil_of
    from streamlets.errors import Fatal, StreamletsError, Unavailable

    if isinstance(exc, BlueprintError):
        from streamlets.cli.output import print_diagnostics

        print_diagnostics(exc.diagnostics, to_stderr=True)
        return 1
    if isinstance(exc, StreamletsError):
        veil = veil_of(ctx)
        click.echo(veil(f"error {exc.code}: {exc.message}"), err=True)
        if exc.hint:
            click.echo(veil(f"  next: {exc.hint}"), err=True)
        if isinstance(exc, Fatal):
            return exc.exit_code
        return MAY_HELP_EXIT if isinstance(exc, Unavailable) else 1
    # Its text may hold a payload, so only its kind and place are shown unless asked for.
    click.echo(f"error bug: {type(exc).__name__} in {_place(exc)}, which is a fault of Streamlets", err=True)
    click.echo("  next: run it again with --debug for the traceback, and report that", err=True)
    return BUG_EXIT


def _place(exc: BaseException) -> str:
    trace: Any = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
