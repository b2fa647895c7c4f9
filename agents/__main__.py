"""Run a role, decode and encode messages, talk to a running agent: ``python -m agents --help``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agents.core.errors import ConfigurationError, EncodeError
from agents.core.room import Load, Protocol, Role
from agents.protocols import names, protocol

if TYPE_CHECKING:
    from agents.runtime.configuration import Checked, RuntimeConfiguration

MediaConfiguration = TypeVar("MediaConfiguration", bound="Checked")
CONFIGURATION = click.Option(
    ["--config", "path"],
    required=True,
    type=click.Path(path_type=Path),
    help="The role's TOML file; times in it are seconds.",
)
MEDIA_OPTIONS = (
    click.Option(
        ["--config", "path"],
        type=click.Path(path_type=Path),
        help="A TOML file of all that can be set, in place of these.",
    ),
    click.Option(
        ["--orders"],
        type=click.Path(path_type=Path),
        help="The application socket of the role that says where to, when, and under which key.",
    ),
    click.Option(
        ["--media"], type=click.Path(path_type=Path), help="An MPEG-TS file: what is sent, or what is written."
    ),
)
EXIT_SOME_FAILED = 1  # of a load, some agents could not join
EXIT_NOT_RUN = 2  # could not start, with the reason on stderr


class _Programs(click.Group):
    """The commands below, and one for each protocol that has a room; a room is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        return _program(protocol(cmd_name)) if found is None and cmd_name in names() else found


@click.group(cls=_Programs, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Protocol roles as small agents.

    \b
    python -m agents PROTOCOL ROLE --config FILE
    echo 0900000800000001 | python -m agents decode PROTOCOL
    python -m agents ctl AGENT counters
    """


def _fail(error: Exception) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(EXIT_NOT_RUN)


def _program(of: Protocol) -> click.Group:
    """What a protocol's record has to be run."""
    commands = [
        click.Command(role.name, callback=partial(_run_role, of, role), params=[CONFIGURATION], help=role.summary)
        for role in of.roles
    ]
    if of.load is not None:
        options: list[click.Parameter] = [
            CONFIGURATION,
            click.Option(["--count"], type=int, help="How many, in place of the file's count."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print the summary as one JSON object."),
        ]
        commands.append(
            click.Command(of.load.name, callback=partial(_run_load, of.load), params=options, help=of.load.summary)
        )
    return click.Group(of.name, commands={each.name or "": each for each in commands}, help=of.title)


def _run_role(of: Protocol, role: Role, path: Path) -> None:
    from agents.runtime.configuration import check_interface, load
    from agents.runtime.datagram import allow_open_files
    from agents.runtime.host import AgentHost

    try:
        runtime, configuration = load(path, role.configuration)
        if role.asks_operator(configuration) and not runtime.authorise:
            remedy = "give the command that asks the operator, as a list of words"
            raise ConfigurationError(f"{path}: runtime.authorise", "missing, and this role asks", remedy)
        for key, interface in role.interfaces(configuration):
            check_interface(f"{path}: {key}", interface)
        allow_open_files()
        host = AgentHost(
            role.agent(configuration),
            runtime,
            ports=role.ports(configuration),
            commands=of.commands_of(role),
            moves=role.moves,
            pages=role.pages,
        )
        status = asyncio.run(host.run())
    except (ConfigurationError, OSError) as error:
        _fail(error)
    else:
        sys.exit(status)


def _run_load(of: Load, path: Path, count: int | None, *, as_json: bool) -> None:
    from agents.runtime.configuration import load
    from agents.runtime.load import Loading, to_stderr

    try:
        _, configuration = load(path, of.configuration)
        if count is not None:
            configuration = replace(configuration, count=count)
        result = asyncio.run(Loading(of, configuration, to_stderr).run())
    except (ConfigurationError, OSError) as error:
        _fail(error)
    else:
        click.echo(json.dumps(result.plain()) if as_json else "\n".join(result.lines()))
        sys.exit(EXIT_SOME_FAILED if result.failed else 0)


@main.group()
def media() -> None:
    """The data plane: an RTP source and a receiver."""


@media.command(params=list(MEDIA_OPTIONS))
def source(**given: Path | None) -> None:
    """Send RTP to a group, or SRTP: packets of our own, or an MPEG-TS file at its own rate."""
    from agents.media.source import Source, SourceConfiguration
    from agents.media.transport_stream import TransportStreamError

    try:
        _, configuration = _configured(SourceConfiguration, **given)
        Source(configuration).run()
    except (ConfigurationError, TransportStreamError, OSError) as error:
        _fail(error)


@media.command(params=list(MEDIA_OPTIONS))
def receiver(**given: Path | None) -> None:
    """Receive a group's RTP or SRTP, measure it, and write its payload to a file if asked."""
    from agents.media.receiver import Receiver, ReceiverConfiguration

    try:
        runtime, configuration = _configured(ReceiverConfiguration, **given)
        asyncio.run(Receiver(configuration, runtime.control).run())
    except (ConfigurationError, OSError) as error:
        _fail(error)


def _configured(
    kind: type[MediaConfiguration], path: Path | None, **given: Path | None
) -> tuple[RuntimeConfiguration, MediaConfiguration]:
    """What a media process is told by its file, or by the options that stand in place of one."""
    from agents.runtime.configuration import RuntimeConfiguration, load

    options = {name: str(value) for name, value in given.items() if value is not None}
    if bool(options) if path is not None else "orders" not in options:
        raise click.UsageError("give --config FILE, or --orders SOCKET and perhaps --media FILE in its place")
    if path is not None:
        return load(path, kind)
    configuration = kind(**options)
    configuration.check()
    return RuntimeConfiguration(), configuration


@media.command()
@click.argument("file", type=click.Path(path_type=Path))
def describe(file: Path) -> None:
    """Print an MPEG-TS file's pace as JSON: seconds, datagrams, mean spacing in ns."""
    from agents.media.transport_stream import TransportStream, TransportStreamError

    try:
        with TransportStream(file) as stream:
            pace = stream.pace
    except TransportStreamError as error:
        _fail(error)
    else:
        plain = {
            "duration_s": pace.duration_s,
            "datagrams": pace.datagrams,
            "mean_spacing_ns": pace.mean_spacing_ns,
        }
        click.echo(json.dumps(plain))


def _record(_ctx: click.Context, _parameter: click.Parameter, name: str) -> Protocol:
    return protocol(name)


PROTOCOL = click.argument("of", metavar="PROTOCOL", type=click.Choice(names()), callback=_record)


@main.command()
@PROTOCOL
@click.option("--module", help="Module that the messages belong to, where a protocol has several; else the first.")
def decode(of: Protocol, module: str | None) -> None:
    """Read one message a line from stdin, in hex; print each as a JSON object, or as {"error": …}."""
    if module is not None and module not in of.modules:
        has = f"one of {', '.join(of.modules)}" if of.modules else "none, and needs none"
        raise click.BadParameter(f"{module!r}: {of.name} has {has}", param_hint="--module")
    which = (module or of.modules[0],) if of.modules else ()
    _convert_lines(lambda line: of.decode(_octets(line), *which))


@main.command()
@PROTOCOL
def encode(of: Protocol) -> None:
    """Read one JSON object a line from stdin, as ``decode`` prints them; print each message in hex."""

    def convert(line: str) -> object:
        plain = json.loads(line)
        if not isinstance(plain, dict):
            raise EncodeError("a message is a JSON object")
        return of.encode(plain).hex()

    _convert_lines(convert)


def _convert_lines(convert: Callable[[str], object]) -> None:
    """One output line for each line that is not blank; a line that cannot be converted gives {"error": …}."""
    for octets in sys.stdin.buffer:  # not text, which stops at the first octet that is no UTF-8
        line = octets.decode(errors="replace").strip()
        if not line:
            continue
        try:
            result = convert(line)
        except (ValueError, RecursionError) as error:  # DecodeError and EncodeError are ValueErrors
            result = {"error": str(error)}
        click.echo(result if isinstance(result, str) else json.dumps(result))


def _octets(line: str) -> bytes:
    try:
        return bytes.fromhex(line)
    except ValueError:
        raise ValueError(f"not hexadecimal: {line[:60]!r}") from None


@main.command()
@click.argument("which", metavar="[PROTOCOL]...", nargs=-1, type=click.Choice(names()))
def document(which: tuple[str, ...]) -> None:
    """Write a protocol's page, or all, from the source: agents/PROTOCOL/*.md, with roles, calls, machines, decisions."""
    from agents.documentation import page, page_path

    for of in map(protocol, which or names()):
        path = page_path(of)
        path.write_text(page(of), encoding="utf-8")
        click.echo(path)


@main.command(hidden=True)
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("title_room", nargs=-1, expose_value=False)
def nursery(path: Path) -> None:
    """Fork roles for whoever connects to the socket PATH; what follows on the command line is never read."""
    from agents.media import receiver as _receiver  # noqa: F401  # what most of them need is imported once
    from agents.media import source as _source  # noqa: F401
    from agents.runtime import addresses, configuration, host  # noqa: F401
    from agents.runtime.nursery import serve

    for name in names():
        protocol(name)
    serve(path, lambda words: main(list(words), prog_name="python -m agents"))


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("agent")
@click.argument("words", metavar="[COMMAND] [--FIELD VALUE]...", nargs=-1, type=click.UNPROCESSED)
def ctl(agent: str, words: tuple[str, ...]) -> None:
    """Ask a running AGENT, by its name or by the path of its control socket; prints JSON.

    A name is looked for among all agents on this machine, those in running labs too. The agent itself says which commands
    it takes: without one they are listed, and --help behind one says what it takes.

    \b
    Example: python -m agents ctl lmc1 counters
    """
    from agents.runtime.control import ControlError, request
    from agents.runtime.running import control_of

    try:
        path = control_of(agent)
        said: Any = _commands_of(path, words)
    except ControlError as error:
        _fail(error)
        return

    def ask(command: str, **fields: object) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        try:
            click.echo(json.dumps(request(path, {"command": command, **given}), indent=2))
        except ControlError as error:
            _fail(error)

    commands = {each["name"]: _question(each, partial(ask, each["name"])) for each in said["commands"]}
    if words and not words[0].startswith("-") and words[0] not in commands:
        _fail(ControlError(f"{agent}: unknown command {words[0]!r}; known are {', '.join(commands)}"))
    group = click.Group(commands=commands, help=f"What {agent} takes.")
    group.main(list(words) or ["--help"], prog_name=f"python -m agents ctl {agent}")


def _commands_of(path: Path, words: Sequence[str]) -> Mapping[str, Any]:
    """What an agent says that it takes; of one that does not say, a stranger's, that it takes what is asked of it."""
    from agents.runtime.control import ControlError, request

    try:
        return request(path, {"command": "help"})
    except ControlError:
        if not words or words[0].startswith("-"):
            raise
        return {"commands": [{"name": words[0], "summary": "", "fields": []}]}


def _question(said: Mapping[str, Any], ask: Callable[..., None]) -> click.Command:
    """A command made of what a running agent says of it; an option may be cut short as far as it stays clear."""
    kinds = {"int": int, "float": float, "str": str}
    options = [
        click.Option(
            [f"--{field['name'].replace('_', '-')}", field["name"]],
            type=kinds[field["kind"]],
            required=field["required"],
            help=field["help"],
        )
        for field in said["fields"]
    ]
    whole = [field["name"].replace("_", "-") for field in said["fields"]]

    def completed(name: str) -> str:
        found = [each for each in whole if each.startswith(name)]
        return found[0] if len(found) == 1 else name

    return click.Command(
        said["name"],
        callback=ask,
        params=list(options),
        help=said["summary"],
        context_settings={"token_normalize_func": completed},
    )


if __name__ == "__main__":
    main(prog_name="python -m agents")
