"""What a person may set of the radio and the movement of a lab whose cells have positions, and the link events of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from testbed.net.model import Lab, ModelError
from testbed.radio import traces
from testbed.radio.link_events import Movement, Prediction, link_events
from testbed.radio.movement import Position, Span, Track, manhattan, random_waypoint
from testbed.radio.propagation import Propagation, RadioParameters
from testbed.run.options import Option, OptionError, Values, decimal_option, duration_option, number_option

QUALITIES = ("right", "late", "wrong")
OWN, RANDOM, MANHATTAN = "own", "random", "manhattan"
SLOWEST = 0.5  # of the speed that is asked for, where speeds are random
REST_MAXIMUM_S = 2.0  # at a random waypoint
MARGIN_M = 20.0  # beyond the outermost cells, where nodes go at random


def _prediction(text: str) -> tuple[str, ...]:
    shares = _shares(text)
    if sum(shares.values()) > 100:
        raise OptionError(f"{text!r} is more than 100%")
    return tuple(f"{quality}={share:g}" for quality, share in shares.items())


def _shares(text: str) -> dict[str, float]:
    """Of late and wrong, in percent: "late" is all of them, "late=30%,wrong=10%" some."""
    found: dict[str, float] = {}
    for word in text.split(","):
        quality, given, share = word.strip().partition("=")
        try:
            percent = float(share.removesuffix("%")) if given else 100.0
        except ValueError:
            percent = -1.0
        if quality not in QUALITIES or quality in found or not 0 <= percent <= 100:
            raise OptionError(f"{text!r}: give right, late or wrong, or shares such as late=30%,wrong=10%")
        found[quality] = percent
    found.pop("right", None)  # what is left
    return found


def _never_late(values: Values, _model: Lab) -> str:
    late = any(word.startswith("late") for word in values.words("prediction"))
    return "" if late else "without a prediction that is late (--prediction late)"


RADIO_OPTIONS: tuple[Option, ...] = (
    decimal_option("power", "What cells transmit with", "20", -50, 100, "dBm"),
    decimal_option("exponent", "Of the path loss; 2 in the open, 4 among houses", "3", 1, 10),
    decimal_option("shadowing", "Standard deviation of what stands in the way", "0", 0, 30, "dB"),
    decimal_option("hysteresis", "How much stronger another cell must be", "3", 0, 40, "dB"),
    duration_option("measure-every", "From one measurement of a node to its next", "10ms", 0.001, 1.0),
    duration_option("l2-gap", "Time without any link between two cells", "50ms", 0.0, 60.0),
    Option(
        "prediction",
        "Whether what is told of a link that goes down is right, late or wrong, or how often: late=30%,wrong=10%",
        "right",
        _prediction,
        "QUALITY",
    ),
    replace(duration_option("late-by", "How much later a late prediction comes", "120ms", 0.0, 60.0), idle=_never_late),
    number_option("radio-seed", "Of shadowing, predictions and random ways", "0", 0, 1_000_000),
)
"""For labs whose link events are those of `movement_of`."""


def _movement(text: str) -> str:
    if text in (OWN, RANDOM, MANHATTAN):
        return text
    path = Path(text).resolve()
    if not path.is_file():
        raise OptionError(f"{text!r} is neither {OWN}, {RANDOM}, {MANHATTAN} nor a file that is there")
    return str(path)


def _traced(values: Values, _model: Lab) -> str:
    return "" if values.word("movement") in (OWN, RANDOM, MANHATTAN) else "with a trace, which has speeds of its own"


def _not_random(values: Values, _model: Lab) -> str:
    return "" if values.word("movement") in (RANDOM, MANHATTAN) else f"without --movement {RANDOM} or {MANHATTAN}"


MOVEMENT_OPTIONS: tuple[Option, ...] = (
    Option(
        "movement",
        f"How nodes move: {OWN} (the lab's way), {RANDOM} (waypoints), {MANHATTAN} (streets), or a trace: a file of "
        "t,node,x,y (.csv), ns-2 setdest (.tcl) or SUMO FCD (.xml)",
        OWN,
        _movement,
        "HOW",
    ),
    replace(number_option("speed", "Of the nodes, where no trace says it", "60", 1, 500, "km/h"), idle=_traced),
    replace(duration_option("duration", "How long nodes move at random", "20s", 1.0, 3600.0), idle=_not_random),
)
"""For labs whose nodes go where `tracks_of` says."""


def tracks_of(values: Values, model: Lab, own: Callable[[], dict[str, Track]]) -> dict[str, Track]:
    """Where the mobile nodes go by the options; ``own`` makes the lab's own way.

    A trace's nodes are the lab's by name, or one after the other where none has a name of the lab's. Raises ModelError.
    """
    how, nodes = values.word("movement"), tuple(dict.fromkeys(radio.node for radio in model.radios))
    if how == OWN:
        return own()
    if how in (RANDOM, MANHATTAN):
        return {node: _at_random(values, model, f"{values.number('radio-seed')} {node}") for node in nodes}
    found = traces.load(Path(how))
    if not set(nodes) & set(found):
        if len(found) < len(nodes):
            what = f"{len(found)} nodes for {len(nodes)} mobile nodes"
            raise ModelError(what, Path(how).name, "ask for fewer mobile nodes, or give a trace of more")
        return dict(zip(nodes, found.values(), strict=False))
    if missing := [node for node in nodes if node not in found]:
        raise ModelError(
            f"no {', '.join(missing)} in it", Path(how).name, "call the trace's nodes as the lab's, all or none"
        )
    return {node: found[node] for node in nodes}


def _at_random(values: Values, model: Lab, seed: str) -> Track:
    """A way through where the cells are, for as long as is asked for."""
    east, north = zip(*cells_of(model).values(), strict=True)
    low = Position(min(east) - MARGIN_M, min(north) - MARGIN_M)
    high = Position(max(east) + MARGIN_M, max(north) + MARGIN_M)
    fastest_mps, duration_s = values.number("speed") / 3.6, values.seconds("duration")
    speeds = Span(SLOWEST * fastest_mps, fastest_mps)
    if values.word("movement") == RANDOM:
        track = random_waypoint((low, high), speeds, Span(0.0, REST_MAXIMUM_S), duration_s, seed)
    else:
        block_m = 2 * MARGIN_M
        blocks = (round((high.x_m - low.x_m) / block_m), round((high.y_m - low.y_m) / block_m))
        track = manhattan(blocks, block_m, speeds, duration_s, seed).moved(low)
    return track.until(duration_s)


def radio_of(values: Values) -> RadioParameters:
    """The radio that the options describe. Raises ModelError."""
    return RadioParameters(
        transmit_dbm=values.decimal("power"),
        exponent=values.decimal("exponent"),
        shadowing_db=values.decimal("shadowing"),
        hysteresis_db=values.decimal("hysteresis"),
        gap_s=values.seconds("l2-gap"),
        interval_s=values.seconds("measure-every"),
        seed=values.number("radio-seed"),
    )


def prediction_of(values: Values) -> Prediction:
    """How good predictions are by the options. Raises ModelError."""
    words = values.words("prediction")
    shares = _shares(",".join(words)) if words else {}
    return Prediction(
        shares.get("late", 0) / 100,
        shares.get("wrong", 0) / 100,
        values.seconds("late-by"),
        values.number("radio-seed"),
    )


def cells_of(model: Lab) -> dict[str, Position]:
    """Where the cells of a lab are, those that have a position. Raises ModelError where none has."""
    cells = {cell.name: Position(*cell.position) for cell in model.points_of_attachment if cell.position is not None}
    if not cells:
        raise ModelError("no cell has a position", f"lab {model.name}", "give its points of attachment a position")
    return cells


def movement_of(values: Values, model: Lab, tracks: Mapping[str, Track]) -> Movement:
    """What a lab's nodes do on their tracks. Raises ModelError for tracks of others, and for impossible radios."""
    radios = {len(model.radios_of(node)) for node in tracks}
    for node in tracks:
        if not model.radios_of(node):
            known = ", ".join(dict.fromkeys(radio.node for radio in model.radios)) or "none"
            raise ModelError("no mobile node of this lab", f"track of {node}", f"known: {known}")
    if len(radios) > 1:
        raise ModelError(
            "its nodes have different numbers of radios", f"lab {model.name}", "give each one, or each two"
        )
    parameters = radio_of(values)
    propagation = Propagation(cells_of(model), parameters)
    events = link_events(
        propagation, parameters, tracks, radios=radios.pop() if radios else 1, prediction=prediction_of(values)
    )
    return Movement(events, tracks, parameters.range_m(parameters.detect_dbm))
