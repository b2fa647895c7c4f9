"""How every command ends: what its exit status says, whatever goes wrong on the way.

0 done or passed, 1 a rule failed or two runs are not the same, 2 could not, 130 interrupted. A program that only looks at
the status must never take a mishap for a rule that failed.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from captures.files.capture import CaptureError

COULD_NOT = 2
INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


@contextmanager
def answering(status: int = 0) -> Iterator[None]:
    """What cannot be done is one line and status 2; Ctrl-C and a reader that has read enough end without a word.

    `status` is what such a reader makes of it: what was found before it went away stays found.
    """
    try:
        yield
        sys.stdout.flush()
    except CaptureError as error:
        _end(COULD_NOT, f"captures: {error}")
    except KeyboardInterrupt:
        _end(INTERRUPTED)
    except BrokenPipeError:
        _end(status)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise  # click's own way to end
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _end(COULD_NOT, f"captures: {where}{error.strerror or error}")
    except Exception:  # noqa: BLE001  # a mistake of ours is shown whole, and is no rule that failed either
        traceback.print_exc()
        _end(COULD_NOT)


def _end(status: int, line: str = "") -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # Nobody takes what is left, and Python would try to write it once more at its end.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    if line:
        click.echo(line, err=True)
    sys.exit(status)


class Commands(click.Group):
    """A group of commands that all end as `answering` says, from the reading of their options on."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run what was asked for."""
        with answering():
            return super().invoke(ctx)


def say_where_it_breaks_off(named: str, truncated: str | None) -> None:
    """On stderr, of a capture that is not whole."""
    if truncated is not None:
        click.echo(f"captures: {named} breaks off ({truncated}): judged as far as it goes", err=True)


def refuse_to_overwrite(target: Path, capture: Path) -> None:
    """Raise `CaptureError` if what is to be written would take the place of the capture that it is made from."""
    try:
        same = target.samefile(capture)
    except OSError:
        return  # one of them is not there
    if same:
        raise CaptureError(f"{target} is the capture itself: write to another file")
