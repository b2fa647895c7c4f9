"""``python -m testbed sim``: many mobile nodes in virtual time, the run's figures and its invariants.

A run is a function of its options: the same options give the same trace hash on any machine. Whatever is found wrong is
found again with the command that the run prints.
"""

from __future__ import annotations

import gc
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import click

from testbed.mmcp import incidents, invariants
from testbed.mmcp.world import Plan, PlanError, World
from testbed.run.options import Option, OptionError, Value, Values, duration_option, number_option
from testbed.sim.faults import Faults
from testbed.sim.machine import RoleError

EXIT_BROKEN, EXIT_COULD_NOT_RUN, EXIT_INTERRUPTED = 1, 2, 130
TELL_AFTER_S = 2.0  # a run that takes longer says how far it is
SLICES = 200  # of the run, between which it can say so

_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_RATE = re.compile(r"(\d+(?:\.\d+)?)%(?: per |/)(minute|min|second|s)")
_PER_SECOND = {"minute": 1 / 60, "min": 1 / 60, "second": 1.0, "s": 1.0}


def share_option(name: str, help_text: str, default: str, most: float) -> Option:
    """A share of all datagrams, written as "5%"."""

    def parse(text: str) -> float:
        match = _SHARE.fullmatch(text.strip())
        if match is None:
            raise OptionError(f"{text!r} is no share: write a number and %, such as 5%")
        if float(match[1]) > most:
            raise OptionError(f"{text} is out of bounds: 0% to {most:g}%")
        return float(match[1]) / 100

    return Option(name, f"{help_text} (0% to {most:g}%)", default, parse, "SHARE")


def rate_option(name: str, help_text: str, default: str) -> Option:
    """A share of all MNs per time, written as "10%/min" or "10% per minute"; becomes a share per second."""

    def parse(text: str) -> float:
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise OptionError(f"{text!r} is no rate: write a share and a time, such as 10%/min or 1%/s")
        rate = float(match[1]) / 100 * _PER_SECOND[match[2]]
        if rate > 1:
            raise OptionError(f"{text} is out of bounds: 0%/s to 100%/s")
        return rate

    return Option(name, f"{help_text} (0%/s to 100%/s)", default, parse, "RATE")


OPTIONS = (
    number_option("mns", "Mobile nodes", "1000", 1, 1_000_000),
    number_option("cells", "Cells, each with one LMC", "10", 1, 1000),
    number_option("roam", "Neighbouring cells that each MN walks among", "3", 1, 16),
    duration_option("duration", "Virtual time with faults and movement; quiet follows", "60s", 1.0, 86_400.0),
    rate_option("moves", "Share of the MNs that move, per time", "10%/min"),
    duration_option("overlap", "From the link trigger until the old link goes", "200ms", 0.0, 60.0),
    duration_option("gap", "From the old link until the new one", "50ms", 0.0, 60.0),
    duration_option("delay", "Delay of every datagram", "5ms", 0.0, 10.0),
    duration_option("jitter", "Most that is added to the delay", "5ms", 0.0, 10.0),
    share_option("loss", "Datagrams lost", "0%", 90.0),
    share_option("duplication", "Datagrams that arrive twice", "0%", 100.0),
    share_option("reordering", "Datagrams held back by --held-back", "0%", 100.0),
    duration_option("held-back", "How long a reordered datagram is held back", "50ms", 0.0, 60.0),
    *incidents.OPTIONS,
    number_option("seed", "Seed of everything random", "1", 0, 2**63 - 1),
)


def parse(texts: Mapping[str, str | None]) -> Values:
    """The values of all options, defaults filled in; OptionError names the option."""
    values: dict[str, Value] = {}
    for option in OPTIONS:
        text = texts.get(option.name)
        try:
            values[option.name] = option.parse(text if text is not None else str(option.default))
        except OptionError as error:
            raise OptionError(f"--{option.name}: {error}") from None
    found = Values(values)
    if found.seconds("moves") and min(found.number("cells"), found.number("roam")) < 2:
        raise OptionError(
            "--moves: an MN that has one cell cannot move; give 2 or more --cells and --roam, or --moves=0%/s"
        )
    return found


def replay(texts: Mapping[str, str | None]) -> str:
    """The command line that does the same again, every option written out."""
    words = [f"--{each.name}={texts.get(each.name) or each.default}" for each in OPTIONS]
    return f"python -m testbed sim handover {shlex.join(words)}"


def plan(values: Values) -> Plan:
    """What the options ask for."""
    share = values.seconds  # a share is a float as a duration is
    faults = Faults(
        values.seconds("delay"),
        values.seconds("jitter"),
        share("loss"),
        share("duplication"),
        share("reordering"),
        values.seconds("held-back"),
    )
    mns = values.number("mns")
    return Plan(
        mns=mns,
        cells=values.number("cells"),
        seed=values.number("seed"),
        faults=faults,
        moves_per_s=share("moves") * mns,
        overlap_s=values.seconds("overlap"),
        gap_s=values.seconds("gap"),
        roam=values.number("roam"),
    )


@contextmanager
def without_collector() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: it would walk over all nodes again and again, and roles make no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def perform(
    world: World,
    duration_s: float,
    tell: Callable[[str], None] = lambda _line: None,
    meddle: Callable[[World], object] = lambda _world: None,
    planned: list[incidents.Incident] | None = None,
) -> dict[str, Any]:
    """Run a world for ``duration_s`` (virtual), let it calm down and judge it; a result of plain values.

    What is ``planned`` beyond ``duration_s`` does not happen.

    ``meddle`` is called before the judgement: a test breaks something there and sees it found.
    """
    began = last_told = time.monotonic()
    try:
        world.begin()
        happen_at = {at for at in incidents.times(planned or []) if at < duration_s}
        for until in sorted({duration_s * (number + 1) / SLICES for number in range(SLICES)} | happen_at):
            world.run_until(until)
            if until in happen_at:
                incidents.happen(world, planned or [], until)
            if time.monotonic() - last_told > TELL_AFTER_S:
                last_told = time.monotonic()
                tell(f"{world.now:.1f} of {duration_s:g} s virtual time, {world.events} events")
        taken, events = time.monotonic() - began, world.events
        before = invariants.counters(world)
        if taken > TELL_AFTER_S:
            tell("quiet: no faults, no moves")
        world.calm()
        meddle(world)
        verdicts = invariants.check(world, before)
    except RoleError as error:
        taken, events = time.monotonic() - began, world.events
        verdicts = invariants.raised(error)
    unfinished = sum(mobile.handover is not None for mobile in world.mobiles)
    broken = any(verdict.outcome == invariants.BROKEN for verdict in verdicts)
    return {
        "verdict": "fail" if broken else "pass",
        "virtual_s": round(world.now, 6),
        "duration_s": duration_s,
        "events": world.events,
        "events_per_s": round(events / max(taken, 1e-9)),  # of the duration, without the quiet after it
        "real_s": round(taken, 3),
        "moves": world.moves,
        "handovers": {**world.handovers, "unfinished": unfinished},
        "rejoins": world.rejoins,
        "datagrams": dict(world.fates),
        "trace_hash": world.trace_hash,
        "invariants": [
            {"invariant": each.invariant, "outcome": each.outcome, "seen": list(each.seen)} for each in verdicts
        ],
    }


def show(result: Mapping[str, Any]) -> None:
    """Print a result for a person."""
    handovers, datagrams = result["handovers"], result["datagrams"]
    click.echo(f"virtual time  {result['virtual_s']:g} s: {result['duration_s']:g} s with faults and moves, then quiet")
    click.echo(
        f"events        {result['events']}; {result['events_per_s']} per second, {result['real_s']:.1f} s before the quiet"
    )
    click.echo(f"moves         {result['moves']}")
    click.echo("handovers     " + ", ".join(f"{count} {name}" for name, count in handovers.items()))
    click.echo("datagrams     " + ", ".join(f"{count} {name}" for name, count in datagrams.items()))
    click.echo(f"joined again  {result['rejoins']} times after a failed join")
    click.echo(f"trace hash    {result['trace_hash']}")
    for row in result["invariants"]:
        click.echo(f"{row['outcome']:12}  {row['invariant']}: {invariants.INVARIANTS[row['invariant']]}")
        for line in row["seen"]:
            click.echo(f"              {line}")
    click.echo(result["verdict"].upper())
    if result["verdict"] != "pass":
        click.echo(f"again with    {result['replay']}")


def _handover(*, as_json: bool, **texts: str | None) -> NoReturn:
    given = {name.replace("_", "-"): text for name, text in texts.items()}
    try:
        values = parse(given)
        planned = incidents.planned(
            values.words("restart"), values.words("leave"), values.words("partition"), values.number("cells")
        )
        with without_collector():
            world = World(plan(values))
            tell = partial(click.echo, err=True)
            result = perform(world, values.seconds("duration"), tell, planned=planned)
    except (OptionError, PlanError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_COULD_NOT_RUN)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    result["replay"] = replay(given)
    if as_json:
        click.echo(json.dumps(result))
    else:
        show(result)
    sys.exit(EXIT_BROKEN if result["verdict"] == "fail" else 0)


HANDOVER = click.Command(
    "handover",
    callback=_handover,
    params=[
        *(
            click.Option([f"--{each.name}"], help=each.help, metavar=each.metavar, show_default=each.default or "")
            for each in OPTIONS
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on standard output."),
    ],
    short_help="MMCP: mobile nodes walk from cell to cell",
    help="MMCP: one session manager, an LMC for each cell, mobile nodes that walk from cell to cell.\n\n"
    "Example: python -m testbed sim handover --mns 10000 --duration 60s --loss 5% --seed 7\n\n"
    "Exit status: 0 every invariant held, 1 one is broken, 2 could not run.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
