"""``python -m testbed sim``: a protocol's roles in virtual time, the run's figures and its invariants.

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

from testbed.run.options import Option, OptionError, Value, Values, duration_option, number_option
from testbed.sim.faults import Faults
from testbed.sim.machine import RoleError
from testbed.sim.world import BROKEN, AnyWorld, Simulation

EXIT_BROKEN, EXIT_COULD_NOT_RUN = 1, 2
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
    """A share of something per time, written as "10%/min" or "10% per minute"; becomes a share per second."""

    def parse(text: str) -> float:
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise OptionError(f"{text!r} is no rate: write a share and a time, such as 10%/min or 1%/s")
        rate = float(match[1]) / 100 * _PER_SECOND[match[2]]
        if rate > 1:
            raise OptionError(f"{text} is out of bounds: 0%/s to 100%/s")
        return rate

    return Option(name, f"{help_text} (0%/s to 100%/s)", default, parse, "RATE")


_DURATION = duration_option("duration", "Virtual time with faults and movement; quiet follows", "60s", 1.0, 86_400.0)
_DATAGRAMS = (
    duration_option("delay", "Delay of every datagram", "5ms", 0.0, 10.0),
    duration_option("jitter", "Most that is added to the delay", "5ms", 0.0, 10.0),
    share_option("loss", "Datagrams lost", "0%", 90.0),
    share_option("duplication", "Datagrams that arrive twice", "0%", 100.0),
    share_option("reordering", "Datagrams held back by --held-back", "0%", 100.0),
    duration_option("held-back", "How long a reordered datagram is held back", "50ms", 0.0, 60.0),
)
_STREAMS = (
    share_option("stall", "Pieces of streams that come --stalled later", "0%", 100.0),
    duration_option("stalled", "How long a piece that stalls takes more", "1s", 0.0, 60.0),
    share_option("reset", "Pieces of streams that end theirs with a reset", "0%", 100.0),
    share_option("refusal", "Connections refused though somebody listens", "0%", 100.0),
)
_SEED = number_option("seed", "Seed of everything random", "1", 0, 2**63 - 1)


def options(simulation: Simulation[Any]) -> tuple[Option, ...]:
    """A simulation's own options and those that all have."""
    streams = _STREAMS if simulation.has_streams else ()
    return (*simulation.options, _DURATION, *_DATAGRAMS, *streams, _SEED)


def parse(simulation: Simulation[Any], texts: Mapping[str, str | None]) -> Values:
    """The values of all options, defaults filled in; OptionError names the option."""
    values: dict[str, Value] = {}
    for option in options(simulation):
        text = texts.get(option.name)
        try:
            values[option.name] = option.parse(text if text is not None else str(option.default))
        except OptionError as error:
            raise OptionError(f"--{option.name}: {error}") from None
    return Values(values)


def replay(simulation: Simulation[Any], texts: Mapping[str, str | None]) -> str:
    """The command line that does the same again, every option written out."""
    words = [f"--{each.name}={texts.get(each.name) or each.default}" for each in options(simulation)]
    return f"python -m testbed sim {simulation.name} {shlex.join(words)}"


def faults(simulation: Simulation[Any], values: Values) -> Faults:
    """What happens to datagrams and streams."""
    given = [values.seconds(option.name) for option in _DATAGRAMS]  # a share is a float as a duration is
    if simulation.has_streams:
        given += [values.seconds(option.name) for option in _STREAMS]
    return Faults(*given)


def build(simulation: Simulation[AnyWorld], texts: Mapping[str, str | None]) -> tuple[AnyWorld, float]:
    """A world as the options have it, and how long it runs with faults (s); OptionError for what cannot be."""
    values = parse(simulation, texts)
    return simulation.build(values, faults(simulation, values)), values.seconds("duration")


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
    simulation: Simulation[AnyWorld],
    world: AnyWorld,
    duration_s: float,
    tell: Callable[[str], None] = lambda _line: None,
    meddle: Callable[[AnyWorld], object] = lambda _world: None,
) -> dict[str, Any]:
    """Run a world for ``duration_s`` (virtual), let it calm down and judge it; a result of plain values.

    ``meddle`` is called before the judgement: a test breaks something there and sees it found.
    """
    began = last_told = time.monotonic()
    try:
        world.begin()
        for number in range(SLICES):
            world.run_until(duration_s * (number + 1) / SLICES)
            if time.monotonic() - last_told > TELL_AFTER_S:
                last_told = time.monotonic()
                tell(f"{world.now:.1f} of {duration_s:g} s virtual time, {world.events} events")
        taken, events = time.monotonic() - began, world.events
        before = world.counters()
        if taken > TELL_AFTER_S:
            tell("quiet: no faults, no moves")
        world.calm()
        meddle(world)
        verdicts = simulation.check(world, before)
    except RoleError as error:
        taken, events = time.monotonic() - began, world.events
        verdicts = simulation.ended_by(error)
    broken = any(verdict.outcome == BROKEN for verdict in verdicts)
    return {
        "verdict": "fail" if broken else "pass",
        "virtual_s": round(world.now, 6),
        "duration_s": duration_s,
        "events": world.events,
        "events_per_s": round(events / max(taken, 1e-9)),  # of the duration, without the quiet after it
        "real_s": round(taken, 3),
        **simulation.figures(world),
        "datagrams": world.fates,
        "trace_hash": world.trace_hash,
        "invariants": [
            {"invariant": each.invariant, "outcome": each.outcome, "seen": list(each.seen)} for each in verdicts
        ],
    }


def show(simulation: Simulation[Any], world: Any, result: Mapping[str, Any]) -> None:
    """Print a result for a person."""
    click.echo(f"virtual time  {result['virtual_s']:g} s: {result['duration_s']:g} s with faults and moves, then quiet")
    click.echo(
        f"events        {result['events']}; {result['events_per_s']} per second, {result['real_s']:.1f} s before the quiet"
    )
    for name in (*simulation.figures(world), "datagrams"):
        value = result[name]
        text = ", ".join(f"{count} {what}" for what, count in value.items()) if isinstance(value, Mapping) else value
        click.echo(f"{name.replace('_', ' '):12}  {text}")
    click.echo(f"trace hash    {result['trace_hash']}")
    for row in result["invariants"]:
        click.echo(f"{row['outcome']:12}  {row['invariant']}: {simulation.every_invariant[row['invariant']]}")
        for line in row["seen"]:
            click.echo(f"              {line}")
    click.echo(result["verdict"].upper())
    if result["verdict"] != "pass":
        click.echo(f"again with    {result['replay']}")


def _run(simulation: Simulation[Any], *, as_json: bool, **texts: str | None) -> NoReturn:
    given = {name.replace("_", "-"): text for name, text in texts.items()}
    try:
        with without_collector():
            world, duration_s = build(simulation, given)
            result = perform(simulation, world, duration_s, partial(click.echo, err=True))
    except OptionError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_COULD_NOT_RUN)
    result["replay"] = replay(simulation, given)
    if as_json:
        click.echo(json.dumps(result))
    else:
        show(simulation, world, result)
    sys.exit(EXIT_BROKEN if result["verdict"] == "fail" else 0)


def command(simulation: Simulation[Any]) -> click.Command:
    """The simulation's command."""
    params: list[click.Parameter] = [
        click.Option([f"--{each.name}"], help=each.help, metavar=each.metavar, show_default=each.default or "")
        for each in options(simulation)
    ]
    params.append(
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on standard output.")
    )
    return click.Command(
        simulation.name,
        callback=partial(_run, simulation),
        params=params,
        short_help=simulation.summary,
        help=f"{simulation.description}\n\n"
        f"Example: python -m testbed sim {simulation.name} {simulation.example}\n\n"
        "Exit status: 0 every invariant held, 1 one is broken, 2 could not run.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
