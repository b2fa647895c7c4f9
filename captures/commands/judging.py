"""The commands that judge: ``merge``, ``judge``, ``verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from captures.commands.answering import COULD_NOT, INTERRUPTED, answering, refuse_to_overwrite, say_where_it_breaks_off
from captures.commands.options import port_option
from captures.files.capture import CaptureError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from captures.rules.judgement import Judgement
    from captures.rules.packs.pack import Pack, Settings


@click.command("merge")
@click.argument("run_folder", type=click.Path(path_type=Path))
def merge_command(run_folder: Path) -> None:
    """Make lab.pcapng of RUN_FOLDER's captures and steps, and print its packets per interface as JSON.

    \b
    Example: python -m captures merge captures/runs/latest
    """
    from captures.files.merge import merge

    click.echo(json.dumps(merge(run_folder), indent=2))


@click.command("judge")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole judgement as JSON.")
def judge_command(file: Path, *, as_json: bool) -> None:
    """Check every rule of the protocols that occur in a lab's pcapng FILE.

    Exit 0: no rule failed, 1: one did, 2: could not judge, or not to the end.

    \b
    Example: python -m captures judge captures/runs/latest/lab.pcapng --json
    """
    from captures.report.terminal import show
    from captures.rules.engine import judge

    judgement = judge(file)
    with answering(judgement.exit_code()):
        if as_json:
            click.echo(json.dumps(judgement.of_run(), indent=2))
        else:
            show(judgement)
    say_where_it_breaks_off(str(file), judgement.truncated)
    sys.exit(judgement.exit_code())


class _OfPacks(click.Option):
    """An option that is explained by what rules there are, which are only loaded when somebody asks."""

    def __init__(self, *names: Any, tell: Callable[[list[Pack]], str], **options: Any) -> None:
        super().__init__(*names, **options)
        self._tell = tell

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """As of any option."""
        from captures.rules.packs import all_packs
        from captures.rules.packs.pack import Settings

        self.help = self._tell(all_packs(Settings()))
        return super().get_help_record(ctx)


def _timers_of(packs: list[Pack]) -> Iterator[str]:
    """Each timer with its default, where nothing else is known of it."""
    for pack in packs:
        for name, seconds in (pack.timers or {}).items():
            yield name if seconds is None else f"{name} ({seconds:g} s)"


def _pack_names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    from captures.rules.packs import pack_names

    names = tuple(name.strip() for name in value.split(",") if name.strip())
    unknown = [name for name in names if name not in pack_names()]
    if unknown or (value and not names):
        raise click.BadParameter(f"{', '.join(unknown) or repr(value)}: the packs are {', '.join(pack_names())}")
    return names


def _timers(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    from captures.rules.packs import timer_names

    found = {}
    for value in values:
        name, _, text = value.partition("=")
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if name.lower() not in timer_names() or not 0 < seconds < 86_400:
            *most, last = timer_names()
            raise click.BadParameter(f"{value}: give {', '.join(most)} or {last} and its seconds, as in {most[0]}=2")
        found[name.lower()] = seconds
    return found


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--rules",
    "names",
    default="",
    callback=_pack_names,
    metavar="PACKS",
    cls=_OfPacks,
    tell=lambda packs: f"{', '.join(pack.name for pack in packs)}, separated by commas.  [default: all that occur]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdicts as JUnit XML, too.")
@click.option(
    "--timer",
    "timers",
    multiple=True,
    callback=_timers,
    metavar="NAME=SECONDS",
    cls=_OfPacks,
    tell=lambda packs: f"What a timer was provisioned to: {', '.join(_timers_of(packs))}.",
)
@port_option
@click.option(
    "--max-loss", type=click.FloatRange(0, 100), default=0, show_default=True, help="Scattered loss, percent."
)
@click.option("--max-gap", type=click.FloatRange(0), help="Longest interruption of a stream, seconds.  [default: any]")
@click.option("--max-jitter", type=click.FloatRange(0), help="Largest jitter of a stream, ms.  [default: any]")
def verify_command(
    file: Path,
    names: tuple[str, ...],
    junit: Path | None,
    timers: dict[str, float],
    ports: dict[str, int],
    max_loss: float,
    max_gap: float | None,
    max_jitter: float | None,
    *,
    as_json: bool,
) -> None:
    """Judge any pcap or pcapng FILE, - for stdin, by what the packets themselves tell.

    Exit 0: no rule failed, 1: one did, 2: could not judge by one of the packs that were named, or not to the end.

    \b
    Example: tcpdump -i eth0 -w - igmp or pim or udp | python -m captures verify - --rules igmp,pim
    """
    from captures.rules.packs.pack import Settings

    limits = Settings(
        max_loss=max_loss / 100,
        max_gap_s=max_gap,
        max_jitter_s=None if max_jitter is None else max_jitter / 1000,
        timers=timers,
        ports=ports,
    )
    verification = _verified(file, names, limits)
    if junit is not None:
        from captures.report.junit import write

        refuse_to_overwrite(junit, file)
        try:
            write(verification, junit)
        except OSError as error:
            raise CaptureError(f"cannot write {junit}: {error.strerror}") from error
    with answering(verification.exit_code()):
        if as_json:
            click.echo(json.dumps(verification.as_dict(), indent=2))
        else:
            from captures.report.terminal import show_verification

            show_verification(verification)
    say_where_it_breaks_off(str(file), verification.truncated)
    if verification.not_judged:
        named = ", ".join(verification.not_judged)
        click.echo(f"captures: {file} shows nothing that could be judged by {named}", err=True)
    elif verification.truncated is None and verification.exit_code() == COULD_NOT:
        click.echo(f"captures: {file} shows nothing that could be judged", err=True)
    sys.exit(verification.exit_code())


def _verified(file: Path, names: tuple[str, ...], settings: Settings) -> Judgement:
    from captures.files.reading import CaptureReader
    from captures.report.progress import Progress
    from captures.rules.engine import verify

    if str(file) == "-" and sys.stdin.isatty():
        raise CaptureError("stdin is a terminal: pipe a capture into it")
    with Progress() as progress:
        try:
            source = cast("io.BufferedIOBase", sys.stdin.buffer) if str(file) == "-" else file
            return verify(CaptureReader(source), names, settings, progress)
        except KeyboardInterrupt:
            progress.clear()
            click.echo(f"captures: interrupted after {progress.frames} packets or more", err=True)
            sys.exit(INTERRUPTED)
