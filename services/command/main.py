"""The command `leadflow` and its subcommands."""

from importlib.metadata import version
from typing import Annotated

import typer

from services.command import keys, models, pipelines, sources, subscriptions
from services.command.demo import demo
from services.command.migrate import migrate
from services.command.runtime import fail
from services.command.score import score
from services.command.up import run_ingest, run_pipeline, run_scorer, up
from shared.errors import LeadflowError

app = typer.Typer(
    name="leadflow",
    help="Event-driven lead scoring and sales pipeline service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command("up")(up)
app.command("ingest")(run_ingest)
app.command("scorer")(run_scorer)
app.command("pipeline")(run_pipeline)
app.command("migrate")(migrate)
app.command("score")(score)
app.command("demo")(demo)
app.add_typer(keys.app, name="keys", help="API keys: create, list, revoke.")
app.add_typer(sources.app, name="sources", help="Webhook sources: create, list.")
app.add_typer(models.app, name="models", help="Scoring models: validate, publish, list, show.")
app.add_typer(pipelines.app, name="pipelines", help="Pipelines: validate, publish, list, show.")
app.add_typer(subscriptions.app, name="subscriptions", help="Outgoing webhooks: create, list, delete.")


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
        fail(error)
