"""The commands that organisations, teams and users have alike: `list`, `suspend` and `resume`.

Annotations are evaluated here, not postponed: what a command calls its argument depends on the kind.
"""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import AsJson, ConfigFile, DataDir, NoColor, Quiet


def add_list(
    app: typer.Typer, kind: str, headings: list[str], row: Callable[[dict[str, Any]], list[str]]
) -> None:
    """Give `app` the command that lists all of `kind`; `row` is one of them under `headings`, but for its state."""

    @app.command("list", epilog=f"Example: cascadia {kind} list --json", help=f"List the {kind}.")
    def list_all(
        config: ConfigFile = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
        no_color: NoColor = False,
    ) -> int:
        from gateway.auth.directory.records import Kind
        from gateway.cli.people import listed, state_of

        listed(
            Kind(kind),
            [*headings, "OWNER", "STATE"],
            lambda each: [*row(each), each["owner"], state_of(each)],
            config=config,
            data_dir=data_dir,
            as_json=as_json,
            no_color=no_color,
        )
        return ExitCode.OK


def add_suspending(app: typer.Typer, kind: str, one: str, *, example: str, meaning: str) -> None:
    """Give `app` the commands that suspend `one` of `kind`, which has that `meaning`, and end its suspension."""

    def add(deed: str, meaning: str, *, suspended: bool) -> None:
        @app.command(deed, epilog=f"Example: cascadia {kind} {deed} {example}", help=meaning)
        def command(
            name: Annotated[str, typer.Argument(metavar="NAME", help=f"Which {one}.", show_default=False)],
            config: ConfigFile = None,
            data_dir: DataDir = None,
            as_json: AsJson = False,
            quiet: Quiet = False,
        ) -> int:
            from gateway.auth.directory.records import Kind
            from gateway.cli.people import set_suspended

            set_suspended(
                Kind(kind),
                name,
                suspended=suspended,
                config=config,
                data_dir=data_dir,
                as_json=as_json,
                quiet=quiet,
            )
            return ExitCode.OK

    add("suspend", meaning, suspended=True)
    add("resume", "End a suspension.", suspended=False)
