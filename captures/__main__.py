"""``python -m captures``: what is made of captures: a judgement, a page, a ladder, a comparison."""

from __future__ import annotations

import click

from captures.commands.answering import Commands
from captures.commands.comparing import diff_command
from captures.commands.dissecting import dissect_command
from captures.commands.drawing import draw_command
from captures.commands.exporting import export_command
from captures.commands.judging import judge_command, merge_command, verify_command
from captures.commands.reporting import report_command, timeline_command
from captures.commands.showing import show_command
from captures.commands.watching import pipe_command, wireshark_command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Judge protocols from what was captured on the wire.

    \b
    Example: python -m captures judge captures/runs/latest/lab.pcapng
    """


for command in (
    merge_command,
    judge_command,
    verify_command,
    report_command,
    draw_command,
    export_command,
    timeline_command,
    show_command,
    diff_command,
    pipe_command,
    wireshark_command,
    dissect_command,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m captures")
