"""Run a role, decode and encode messages, talk to a running agent: ``python -m agents --help``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from agents.core.errors import ConfigurationError, EncodeError

CONFIGURATION = click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="The role's TOML file; times in it are seconds.",
)
EXIT_SOME_FAILED = 1  # of a swarm, some MNs could not join
EXIT_NOT_RUN = 2  # could not start, with the reason on stderr


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Protocol roles as small agents.

    \b
    python -m agents mmcp mn --config mn.toml
    echo 0900000800000001 | python -m agents decode mmcp
    python -m agents ctl mn counters
    """


def _fail(error: Exception) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(EXIT_NOT_RUN)


def _run_role(load_role: Callable[[], tuple[type[Any], type[Any]]], path: Path, *, watch_links: bool) -> None:
    from agents.mmcp.configuration import identifier
    from agents.runtime.configuration import check_interface, load
    from agents.runtime.datagram import allow_open_files, family_of
    from agents.runtime.host import AgentHost

    configuration_class, agent_class = load_role()
    try:
        runtime, configuration = load(path, configuration_class)
        if getattr(configuration, "asks_for_authorisation", False) and not runtime.authorise:
            remedy = "give the command that asks the operator's AAA, as a list of words"
            raise ConfigurationError(f"{path}: runtime.authorise", "missing, and a session asks", remedy)
        if hasattr(configuration, "interface"):
            check_interface(f"{path}: interface", configuration.interface)
        allow_open_files()
        listen = configuration.listen
        host = AgentHost(
            agent_class(configuration),
            runtime,
            family=4 if listen is None else family_of(listen.address),
            address="" if listen is None else listen.address,
            port=None if listen is None else listen.port,
            identifier=identifier,
            watch_links=watch_links,
        )
        asyncio.run(host.run())
    except (ConfigurationError, OSError) as error:
        _fail(error)


@main.group()
def mmcp() -> None:
    """Mobile Multicast Control Protocol (X.604.1)."""


@mmcp.command()
@CONFIGURATION
def sm(path: Path) -> None:
    """The session manager."""

    def role() -> tuple[type[Any], type[Any]]:
        from agents.mmcp.configuration import SessionManagerConfiguration
        from agents.mmcp.session_manager import SessionManager

        return SessionManagerConfiguration, SessionManager

    _run_role(role, path, watch_links=False)


@mmcp.command()
@CONFIGURATION
def lmc(path: Path) -> None:
    """A local mobility controller."""

    def role() -> tuple[type[Any], type[Any]]:
        from agents.mmcp.configuration import LocalMobilityControllerConfiguration
        from agents.mmcp.local_mobility_controller import LocalMobilityController

        return LocalMobilityControllerConfiguration, LocalMobilityController

    _run_role(role, path, watch_links=False)


@mmcp.command()
@CONFIGURATION
def mn(path: Path) -> None:
    """A mobile node."""

    def role() -> tuple[type[Any], type[Any]]:
        from agents.mmcp.configuration import MobileNodeConfiguration
        from agents.mmcp.mobile_node import MobileNode

        return MobileNodeConfiguration, MobileNode

    _run_role(role, path, watch_links=True)


@mmcp.command()
@CONFIGURATION
def bare(path: Path) -> None:
    """A mobile node without MMCP: the comparison."""

    def role() -> tuple[type[Any], type[Any]]:
        from agents.mmcp.bare_node import BareNode, BareNodeConfiguration

        return BareNodeConfiguration, BareNode

    _run_role(role, path, watch_links=True)


@mmcp.command()
@CONFIGURATION
@click.option("--count", type=int, help="How many MNs, in place of the file's count.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def swarm(path: Path, count: int | None, *, as_json: bool) -> None:
    """Many mobile nodes in one process, for load."""
    from agents.runtime.configuration import load
    from agents.runtime.swarm import Swarm, SwarmConfiguration, to_stderr

    try:
        _, configuration = load(path, SwarmConfiguration)
        if count is not None:
            configuration = replace(configuration, count=count)
        result = asyncio.run(Swarm(configuration, to_stderr).run())
    except (ConfigurationError, OSError) as error:
        _fail(error)
    else:
        click.echo(json.dumps(result.plain()) if as_json else "\n".join(result.lines()))
        sys.exit(EXIT_SOME_FAILED if result.failed else 0)


@main.group()
def media() -> None:
    """The data plane: an RTP source (the MCS) and a receiver (at the MN)."""


@media.command()
@CONFIGURATION
def source(path: Path) -> None:
    """Send RTP to a group: packets of our own, or an MPEG-TS file at its own rate."""
    from agents.media.source import Source, SourceConfiguration
    from agents.media.transport_stream import TransportStreamError
    from agents.runtime.configuration import load

    try:
        _, configuration = load(path, SourceConfiguration)
        Source(configuration).run()
    except (ConfigurationError, TransportStreamError, OSError) as error:
        _fail(error)


@media.command()
@CONFIGURATION
def receiver(path: Path) -> None:
    """Receive a group's RTP, measure it, and write its payload to a file if asked."""
    from agents.media.receiver import Receiver, ReceiverConfiguration
    from agents.runtime.configuration import load

    try:
        runtime, configuration = load(path, ReceiverConfiguration)
        asyncio.run(Receiver(configuration, runtime.control).run())
    except (ConfigurationError, OSError) as error:
        _fail(error)


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


@main.command()
@click.argument("protocol", type=click.Choice(["mmcp"]), expose_value=False)
def decode() -> None:
    """Read one message a line from stdin, in hex; print each as a JSON object, or as {"error": …}."""
    from agents.mmcp.messages import decode as decode_message
    from agents.mmcp.plain import to_plain

    def convert(line: str) -> object:
        return to_plain(decode_message(_octets(line)))

    _convert_lines(convert)


@main.command()
@click.argument("protocol", type=click.Choice(["mmcp"]), expose_value=False)
def encode() -> None:
    """Read one JSON object a line from stdin, as ``decode`` prints them; print each message in hex."""
    from agents.mmcp.messages import encode as encode_message
    from agents.mmcp.plain import from_plain

    def convert(line: str) -> object:
        plain = json.loads(line)
        if not isinstance(plain, dict):
            raise EncodeError("a message is a JSON object")
        return encode_message(from_plain(plain)).hex()

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
@click.argument("protocol", type=click.Choice(["mmcp"]))
def document(protocol: str) -> None:
    """Write the protocol's page, agents/PROTOCOL/*.md, from the source: decisions, state machines, calls."""
    from agents.documentation import page, page_path

    path = page_path(protocol)
    path.write_text(page(protocol), encoding="utf-8")
    click.echo(path)


@main.command()
@click.argument("agent")
@click.argument("command", type=click.Choice(["state", "counters", "leave"]))
@click.option("--session", "session_id", type=int, help="With leave: only this session id; else all.")
def ctl(agent: str, command: str, session_id: int | None) -> None:
    """Ask a running AGENT, by its name or by the path of its control socket; prints JSON.

    A name is looked for among all agents on this machine, those in running labs too.

    \b
    Example: python -m agents ctl lmc1 counters
    """
    from agents.runtime.control import ControlError, request
    from agents.runtime.running import control_of

    try:
        asked: dict[str, object] = {"command": command}
        if session_id is not None:
            asked["session_id"] = session_id
        click.echo(json.dumps(request(control_of(agent), asked), indent=2))
    except ControlError as error:
        _fail(error)


if __name__ == "__main__":
    main(prog_name="python -m agents")
