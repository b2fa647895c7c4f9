"""What a person may set of the radio of a lab whose nodes move through cells with positions, and the link events of it."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.net.model import Lab, ModelError
from testbed.radio.link_events import LinkEvent, Prediction, link_events
from testbed.radio.movement import Position, Track
from testbed.radio.propagation import Propagation, RadioParameters
from testbed.run.options import Option, OptionError, Values, decimal_option, duration_option, number_option

QUALITIES = ("right", "late", "wrong")


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


RADIO_OPTIONS: tuple[Option, ...] = (
    decimal_option("power", "What cells transmit with", "20", -50, 100, "dBm"),
    decimal_option("exponent", "Of the path loss; 2 in the open, 4 among houses", "3", 1, 10),
    decimal_option("shadowing", "Standard deviation of what stands in the way", "0", 0, 30, "dB"),
    decimal_option("hysteresis", "How much stronger another cell must be", "3", 0, 40, "dB"),
    duration_option("l2-gap", "Time without any link between two cells", "50ms", 0.0, 60.0),
    Option(
        "prediction",
        "Whether what is told of a link that goes down is right, late or wrong, or how often: late=30%,wrong=10%",
        "right",
        _prediction,
        "QUALITY",
    ),
    duration_option("late-by", "How much later a late prediction comes", "120ms", 0.0, 60.0),
    number_option("radio-seed", "Of shadowing and predictions", "0", 0, 1_000_000),
)
"""For labs whose link events are those of `events_of`."""


def radio_of(values: Values) -> RadioParameters:
    """The radio that the options describe. Raises ModelError."""
    return RadioParameters(
        transmit_dbm=values.decimal("power"),
        exponent=values.decimal("exponent"),
        shadowing_db=values.decimal("shadowing"),
        hysteresis_db=values.decimal("hysteresis"),
        gap_s=values.seconds("l2-gap"),
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


def events_of(values: Values, model: Lab, tracks: Mapping[str, Track]) -> list[LinkEvent]:
    """The link events of a lab's nodes on their tracks. Raises ModelError for tracks of others, and for impossible radios."""
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
    return link_events(
        propagation, parameters, tracks, radios=radios.pop() if radios else 1, prediction=prediction_of(values)
    )
