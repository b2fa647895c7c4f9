"""``python -m captures``: merge what was captured, judge it, verify any capture, dissect messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from captures.commands.answering import (
    COULD_NOT,
    INTERRUPTED,
    Commands,
    answering,
    refuse_to_overwrite,
    say_where_it_breaks_off,
)
from captures.commands.showing import COMMANDS, answer_truncated, port_option
from captures.files.capture import CaptureError
from captures.protocols import names, protocol

if TYPE_CHECKING:
    import io

    from captures.rules.judgement import Judgement
    from captures.rules.packs.pack import Settings


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Judge protocols from what was captured on the wire.

    \b
    Example: python -m captures judge captures/runs/latest/lab.pcapng
    """


for command in COMMANDS:
    main.add_command(command)


@main.command("merge")
@click.argument("run_folder", type=click.Path(path_type=Path))
def merge_command(run_folder: Path) -> None:
    """Make lab.pcapng of RUN_FOLDER's captures and steps, and print its packets per interface as JSON.

    \b
    Example: python -m captures merge captures/runs/latest
    """
    from captures.files.merge import merge

    click.echo(json.dumps(merge(run_folder), indent=2))


@main.command("judge")
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


@main.command("verify")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--rules",
    "names",
    default="",
    callback=_pack_names,
    metavar="PACKS",
    help="mmcp, igmp, mld, pim, rtp, separated by commas.  [default: all whose protocol occurs]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdicts as JUnit XML, too.")
@click.option(
    "--timer",
    "timers",
    multiple=True,
    callback=_timers,
    metavar="NAME=SECONDS",
    help="What MMCP's jwt, srt, spt, hit or ctt was provisioned to.  [default: 2, as the reports show, 3 srt, 1, 0.25]",
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
            from captures.report.verification import show_verification

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


@main.command("report")
@click.argument("run", default="latest", metavar="[RUN|FILE]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write there and not into the run's folder.")
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
def report_command(run: str, output: Path | None, *, open_it: bool) -> None:
    """Make a page of a run, from its folder or from a capture alone, and print the page's path.

    RUN is "latest", a folder or its name in captures/runs, and report.html in its folder is written; the page of a capture
    that lies in no run's folder lies beside it and goes by its name. The page needs no other file and loads nothing. Exit
    status: 0 written; of a capture that breaks off 1 if a rule failed in what there is, else 2; 2 could not.

    \b
    Example: python -m captures report latest --open
    """
    from captures.report.material import find_material
    from captures.report.page import write_report

    with answering():
        material = find_material(run)
        target = output or material.default_report()
        refuse_to_overwrite(target, material.run.capture)
        try:
            page = write_report(material, target)
        except OSError as error:
            raise CaptureError(f"cannot write {target}: {error.strerror}") from error
        click.echo(str(target))
        if open_it:
            click.launch(target.resolve().as_uri())
        answer_truncated(page.truncated, str(material.run.capture), failed=page.count("failed"))


@main.command("dissect")
@click.option("--protocol", "name", type=click.Choice(names()), required=True, help="Protocol of the messages.")
@click.option("--module", help="Module that the messages belong to, where a protocol has several.")
def dissect_command(name: str, module: str | None) -> None:
    """Read one hex message per line from stdin, print one JSON object per line.

    Of a malformed message "error" says what is wrong and at which octet, and "read" what could be read all the same.

    A message that a TCP connection carries is given without the length that some protocols put before it there.

    \b
    Example: echo 0900000800000001 | python -m captures dissect --protocol mmcp
    """
    from captures.wire.malformed import MalformedMessageError

    known = protocol(name)
    modules = known.modules
    if module is not None and module not in modules:
        has = f"one of {', '.join(modules)}" if modules else "none, and needs none"
        raise click.BadParameter(f"{module!r}: {name} has {has}", param_hint="--module")
    dissect = known.dissector(module)
    for line in sys.stdin.buffer:
        text = line.decode(errors="replace").strip()
        if not text:
            continue
        try:
            data = bytes.fromhex(text)
        except ValueError:
            answer: dict[str, Any] = {"error": f"not hexadecimal: {text[:60]!r}"}
        else:
            try:
                answer = dissect(data)
            except MalformedMessageError as error:
                told = error.told()
                answer = {"error": told.pop("reason"), **told}
        click.echo(json.dumps(answer))
        sys.stdout.flush()


if __name__ == "__main__":
    main(prog_name="python -m captures")
