"""``python -m captures``: merge what was captured, judge it, dissect messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import click

from captures.capture import CaptureError
from captures.dissectors import PROTOCOLS

COULD_NOT_JUDGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Judge protocols from what was captured on the wire.

    \b
    Example: python -m captures judge captures/runs/latest/lab.pcapng
    """


@main.command("merge")
@click.argument("run_folder", type=click.Path(path_type=Path))
def merge_command(run_folder: Path) -> None:
    """Make lab.pcapng of RUN_FOLDER's captures and steps, and print its packets per interface as JSON.

    \b
    Example: python -m captures merge captures/runs/latest
    """
    from captures.merge import merge

    try:
        click.echo(json.dumps(merge(run_folder), indent=2))
    except CaptureError as error:
        _give_up(error)


@main.command("judge")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole judgement as JSON.")
def judge_command(file: Path, *, as_json: bool) -> None:
    """Check every rule on a lab's pcapng FILE. Exit 0: none failed, 1: one did, 2: could not judge.

    \b
    Example: python -m captures judge captures/runs/latest/lab.pcapng --json
    """
    from captures.judge import judge
    from captures.report.terminal import show

    try:
        judgement = judge(file)
    except CaptureError as error:
        _give_up(error)
    if as_json:
        click.echo(json.dumps(judgement.as_dict(), indent=2))
    else:
        show(judgement)
    if judgement.truncated is not None:
        click.echo(f"captures: {file} breaks off ({judgement.truncated}): judged as far as it goes", err=True)
    sys.exit(judgement.exit_code())


@main.command("dissect")
@click.option("--protocol", type=click.Choice(list(PROTOCOLS)), required=True, help="Protocol of the messages.")
@click.option("--module", help="Module that the messages belong to, where a protocol has several: SM or MM of gmp.")
def dissect_command(protocol: str, module: str | None) -> None:
    """Read one hex message per line from stdin, print one JSON object per line.

    A message that a TCP connection carries is given without the length that some protocols put before it there.

    \b
    Example: echo 0900000800000001 | python -m captures dissect --protocol mmcp
    """
    from captures.dissectors.message_layer import MalformedMessageError

    modules = PROTOCOLS[protocol].modules
    if module is not None and module not in modules:
        known = f"one of {', '.join(modules)}" if modules else "none, and needs none"
        raise click.BadParameter(f"{module!r}: {protocol} has {known}", param_hint="--module")
    dissect = PROTOCOLS[protocol].reader(module)
    for line in sys.stdin.buffer:
        text = line.decode(errors="replace").strip()
        if not text:
            continue
        try:
            data = bytes.fromhex(text)
        except ValueError:
            answer = {"error": f"not hexadecimal: {text[:60]!r}"}
        else:
            try:
                answer = dissect(data)
            except MalformedMessageError as error:
                answer = {"error": str(error)}
        click.echo(json.dumps(answer))
        sys.stdout.flush()


def _give_up(error: CaptureError) -> NoReturn:
    click.echo(f"captures: {error}", err=True)
    sys.exit(COULD_NOT_JUDGE)


if __name__ == "__main__":
    main(prog_name="python -m captures")
