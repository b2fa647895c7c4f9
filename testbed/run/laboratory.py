"""One run of one lab, from the empty sandbox to the result: build, record, perform, join the captures, judge, conclude."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from testbed.host.progress import Progress
from testbed.net import addresses
from testbed.net.mininet_net import EmulatedNetwork, EmulationError
from testbed.net.model import Lab
from testbed.net.validation import validate
from testbed.protocols import role_names
from testbed.radio.link_events import Movement
from testbed.routing import families
from testbed.routing.router import Ability, Router
from testbed.run import world_options
from testbed.run.console_server import Console, serving
from testbed.run.options import Option, OptionError, Value, Values
from testbed.run.recording import Recording, draw, judge, merge, write_timeline
from testbed.run.results import Table, could_not_run, filled
from testbed.run.roles import Roles
from testbed.run.step_log import StepLog
from testbed.run.world_options import WORLD_OPTIONS

TREE = "tree.svg"  # in a run's folder: its drawing with the last tree that the scenario kept
REQUEST = "request.json"  # what the run was asked to do, in its folder: lab, values, external roles


@dataclass(frozen=True, slots=True)
class RunningLab:
    """What a scenario has at hand. ``started``: time.monotonic() when the run began, seconds.

    ``sending``: the interfaces that sent the lab's groups when the scenario kept their trees, one set each time.
    """

    network: EmulatedNetwork
    routers: dict[str, Router]
    roles: Roles
    steps: StepLog
    values: Values
    progress: Progress
    started: float
    sending: list[frozenset[str]] = field(default_factory=list)

    @property
    def model(self) -> Lab:
        """The lab as data."""
        return self.network.model


@dataclass(slots=True)
class Measurements:
    """What the scenario and the roles themselves measured; the judge does not see it. A room may add to it.

    ``failures``: what the scenario itself saw go wrong. ``cannot``: what the lab's routers cannot give, filled in by the laboratory.
    """

    start_to_first_data_s: float | None = None
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cannot: dict[Ability, str] = field(default_factory=dict)


@dataclass(slots=True)
class Conclusion:
    """The scenario's own part of the result: plain rows by the name of their table, and each bound that was not kept.

    A row has at least what the table's first column shows, and ``problems``, in words: each is a failure too. ``verdict``
    may say more of a row without problems than "pass".
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


Measured = TypeVar("Measured", bound=Measurements)


def _nothing(_values: Values, _model: Lab) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Topology(Generic[Measured]):
    """One lab: its options, its model, its scenario and the tables that it fills. Every lab has WORLD_OPTIONS besides.

    ``conclude(values, measurements, verdict)`` gives the result's own part. ``example``: options as a person may write them.
    ``roles``: names of roles that it starts, where they are not those of its hosts nor of a protocol's roles. ``foresee(values,
    model)``: what is said before anything starts, and in the result, of what such parameters do not allow.
    ``movement``: where its mobile nodes go and what their links do, where that is known before.
    ``begin`` starts all roles and returns, for a lab that is built for its console; without it there are none.
    """

    name: str
    summary: str
    options: tuple[Option, ...]
    build: Callable[[Values], Lab]
    perform: Callable[[RunningLab], Measured]
    conclude: Callable[[Values, Measured, Mapping[str, Any]], Conclusion]
    tables: tuple[Table, ...] = ()
    example: str = ""
    roles: tuple[str, ...] = ()
    begin: Callable[[RunningLab], object] | None = None
    foresee: Callable[[Values, Lab], Sequence[str]] = _nothing
    movement: Callable[[Values, Lab], Movement] | None = None

    def role_names(self, model: Lab) -> frozenset[str]:
        """The names that roles may have in this lab."""
        return role_names(model).union(self.roles)

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Its own options, then those of every lab that it has none of its own for."""
        own = {option.name for option in self.options}
        return (*self.options, *(option for option in WORLD_OPTIONS if option.name not in own))


def parse_values(topology: Topology[Any], texts: Mapping[str, str | None]) -> Values:
    """The lab's values from what a person wrote, defaults for the rest; raises OptionError."""
    values: dict[str, Value] = {}
    for option in topology.all_options:
        text = texts.get(option.name)
        text = option.default if text is None else text
        try:
            values[option.name] = None if text is None else option.parse(text)
        except OptionError as error:
            raise OptionError(f"--{option.name}: {error}") from None
    return Values(values, [name for name, text in texts.items() if text is not None])


def build_model(topology: Topology[Any], values: Values) -> Lab:
    """The lab's model, which can work; raises ModelError, or what the lab raises for values that do not go together.

    Raises OptionError for an option that a person has given and that changes nothing.
    """
    model = world_options.applied(topology.build(values), values)
    validate(model)
    families.check(model)
    addresses.check(model)
    for option in topology.all_options:
        if option.name in values.asked and (where := option.idle(values, model)):
            raise OptionError(f"--{option.name} changes nothing {where}: leave it out")
    return model


def computing(topology: Topology[Any], progress: Progress) -> AbstractContextManager[object]:
    """While it is found out what follows from a lab's movement, which takes seconds for many nodes: the step that it is."""
    return progress.step("where the nodes go") if topology.movement is not None else nullcontext()


def check_external(topology: Topology[Any], model: Lab, external: Iterable[str]) -> None:
    """Raise OptionError for the first role that is to be played by another program and that the lab does not have."""
    known = topology.role_names(model)
    for role in external:
        if role not in known:
            nearest = difflib.get_close_matches(role, known, n=2, cutoff=0.4)
            meant = f"did you mean {' or '.join(sorted(nearest))}? " if nearest else ""
            raise OptionError(
                f"--lab-config: external.{role}: lab {topology.name} has no such role; {meant}Roles: {', '.join(sorted(known))}"
            )


def perform(
    topology: Topology[Any],
    values: Values,
    external: Mapping[str, Sequence[str]],
    run_folder: Path,
    progress: Progress,
    console: Callable[[RunningLab], Console],
) -> dict[str, Any]:
    """Run the lab inside a sandbox, with a console beside it; returns the result without its verdict on time and place.

    Whatever happens, the captures made so far are joined, so that a failed run can be looked at. Raises what the parts
    raise: ProcessDied, NotObserved, RoutingError, EmulationError, RoleError, RecordingError.
    """
    started = time.monotonic()
    model = build_model(topology, values)
    with computing(topology, progress):
        foreseen = topology.foresee(values, model)
    for text in foreseen:
        progress.note(text)
    with (
        _empty_lab(topology, model, values, external, run_folder, progress) as lab,
        nullcontext(Recording(lab.network)) as recording,  # before the console can be asked for one
        serving(run_folder, console(lab), progress),
    ):
        network, steps, roles = lab.network, lab.steps, lab.roles
        try:
            recording.start()
            _start_network(lab)
            measurements = topology.perform(lab)
            measurements.cannot.update(families.cannot(model))
            if "parameters" not in steps.names:  # the judge is told that there is nothing more to know
                steps.add("parameters", lab=model.name, family=model.family, group=model.group)
            network.verify_multicast_settings()
            versions = families.versions(network) | addresses.versions(network)
            dropped = recording.stop()
        except BaseException:
            _salvage(recording, run_folder, progress)
            raise
    with progress.step("joining the captures"):
        pcapng = merge(run_folder)
    with progress.step("judging the capture"):
        verdict = judge(pcapng)
    with progress.step("writing the timeline"):
        write_timeline(run_folder)
    if lab.sending:
        (run_folder / TREE).write_text(draw(model, lab.sending[-1]), encoding="utf-8")
    conclusion = topology.conclude(values, measurements, verdict)
    tables = filled(topology.tables, conclusion.rows)
    failures = [*measurements.failures, *conclusion.failures]
    failures += [failure for table in topology.tables for failure in table.failures(tables[table.name])]
    failures += [f"role {name}: this run needed none, so the external command never ran" for name in roles.unused]
    failures += [f"capture {interface}: {count} packets lost by the recorder" for interface, count in dropped.items()]
    return {
        "lab": model.name,
        "family": model.family,
        "verdict": "fail" if failures or breaks_a_rule(verdict) else "pass",
        "failures": failures,
        **tables,
        "links": network.links.report(),
        "rules": verdict["rules"],
        "packs": verdict["packs"],
        "warnings": [*families.shortcomings(model), *foreseen, *verdict.get("warnings", []), *measurements.notes],
        "pcap": pcapng.name,
        "start_to_first_data_s": measurements.start_to_first_data_s,
        "counters": roles.counters,
        "versions": versions,
        "duration_s": round(time.monotonic() - started, 3),
    }


@contextmanager
def _empty_lab(
    topology: Topology[Any],
    model: Lab,
    values: Values,
    external: Mapping[str, Sequence[str]],
    run_folder: Path,
    progress: Progress,
    *,
    adjustable_links: bool = False,
) -> Iterator[RunningLab]:
    """A lab with its network alone: no daemon runs yet, and no role."""
    started = time.monotonic()
    (run_folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    with closing(StepLog(run_folder)) as steps:
        steps.add("model", model=json.loads(model.to_json()))  # so that the capture alone tells who is who
        with EmulatedNetwork(model, run_folder, progress, adjustable_links=adjustable_links) as network:
            roles = Roles(network, external, topology.role_names(model))
            yield RunningLab(network, {}, roles, steps, values, progress, started)


def _start_network(lab: RunningLab) -> None:
    """Start what routes, and what gives mobile nodes their addresses."""
    lab.routers.update(families.start_routers(lab.network))
    addresses.start(lab.network)


def keep(
    topology: Topology[Any],
    values: Values,
    external: Mapping[str, Sequence[str]],
    run_folder: Path,
    progress: Progress,
    console: Callable[[RunningLab], Console],
) -> dict[str, Any]:
    """Build the lab for its console, start all its roles, and keep it until whoever asked for it has gone.

    Nothing is recorded or judged unless it is asked for. Raises what the parts raise, as ``perform`` does.
    """
    started = time.monotonic()
    model = build_model(topology, values)
    with _empty_lab(topology, model, values, external, run_folder, progress, adjustable_links=True) as lab:
        _start_network(lab)
        if topology.begin is not None:
            topology.begin(lab)
        with closing(console(lab)) as asked, serving(run_folder, asked, progress) as server:
            if server is None:
                raise EmulationError(
                    f"{run_folder} takes no socket, so nobody can talk to the lab: give another with --runs"
                )
            server.deserted.wait()
        return {
            **could_not_run(model.name, "left to its console", topology.tables),
            "family": model.family,
            "verdict": "kept",
            "counters": lab.roles.counters,
            "versions": families.versions(lab.network),
            "duration_s": round(time.monotonic() - started, 3),
        }


def breaks_a_rule(verdict: Mapping[str, Any]) -> bool:
    """Whether the judge says that a rule of the protocol that the lab is about failed.

    What is said of others is shown and does not fail the run: of a router, say, that went another way while its daemons were
    busy. ``captures judge`` and ``verify`` have a status for it.
    """
    return bool(verdict["rules"]["failed"])


def _salvage(recording: Recording, run_folder: Path, progress: Progress) -> None:
    """Keep what was captured of a run that failed; a second failure must not hide the first."""
    try:
        recording.stop()
        merge(run_folder)
        write_timeline(run_folder)
    except (RuntimeError, OSError) as error:
        progress.note(f"the captures could not be joined or their timeline written: {error}")
