"""The command `leadflow`. A subcommand's module is imported when it is called: the web framework and the database
are not needed to score a file.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from shared.errors import LeadflowError

# By name: the module, and its function or its own group of subcommands.
COMMANDS = {
    "up": ("services.command.up", "up"),
    "ingest": ("services.command.up", "run_ingest"),
    "scorer": ("services.command.up", "run_scorer"),
    "pipeline": ("services.command.up", "run_pipeline"),
    "migrate": ("services.command.migrate", "migrate"),
    "demo": ("services.command.demo", "demo"),
    "import": ("services.command.import_", "import_"),
    "score": ("services.command.score", "score"),
    "explain": ("services.command.explain", "explain"),
    "rebuild": ("services.command.rebuild", "rebuild"),
    "leads": ("services.command.leads", "app"),
    "keys": ("services.command.keys", "app"),
    "sources": ("services.command.sources", "app"),
    "parked": ("services.command.parked", "app"),
    "models": ("services.command.models", "app"),
    "pipelines": ("services.command.pipelines", "app"),
    "subscriptions": ("services.command.subscriptions", "app"),
    "dead-letters": ("services.command.dead_letters", "app"),
    "doctor": ("services.command.doctor.command", "doctor"),
    "status": ("services.command.status.command", "status"),
    "tail": ("services.command.tail.command", "tail"),
    "report": ("services.command.report", "app"),
}


class _Commands(TyperGroup):
    """Finds subcommands in the table above."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of its base
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature of its base
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        return _command(cmd_name, getattr(import_module(module), attribute))


def _command(name: str, found: Any) -> Any:
    if isinstance(found, typer.Typer):
        group = get_command(found)
    else:
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name)(found)
        group = get_command(single)
    group.name = name
    return group


def subcommands(name: str) -> tuple[str, ...]:
    """The names under the command `name`; none if it stands alone. Raises KeyError for an unknown one."""
    module, attribute = COMMANDS[name]
    return tuple(getattr(_command(name, getattr(import_module(module), attribute)), "commands", ()))


app = typer.Typer(
    name="leadflow",
    cls=_Commands,
    help="Event-driven lead scoring and sales pipeline service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"leadflow {version('leadflow')}")
        raise typer.Exit


@app.callback()
def leadflow(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Settings come from environment variables: docs/reference/configuration.md lists them."""


def main() -> None:
    """Run the command line; an error of leadflow's is one line, not a stack trace."""
    try:
        app()
    except LeadflowError as error:
        from services.command.failure import fail

        fail(error)
