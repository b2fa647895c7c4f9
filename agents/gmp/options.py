"""The options of GMP's messages: one record with a field for each TLV of the page, and its bytes [G-8].

Each TLV is type 8 | reserved 8 | length 16 of header and value | value, padded with zeros to a multiple of 4 bytes. They are
written in the order of their types, and read in any. Of a TLV that may stand once the first counts; what follows it, and TLVs
of unknown types, are skipped and counted in ``skipped`` [G-26, GI-1]. Text that is not UTF-8, and a name that is too long, are not taken
either but named in ``unreadable``, so that whoever must answer can [G-26, GI-20].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from struct import Struct
from struct import error as struct_error
from typing import Any

from agents.core.errors import DecodeError, EncodeError
from agents.core.record import record
from agents.core.tlv import Reader, read_parameters
from agents.gmp.constants import HEADER_SIZE, NAME_MAXIMUM, OPTION_HEADER_SIZE, OptionType

_HEADER = Struct("!BxH")
_ALIGNMENT = 4  # bytes


@record
class KeepAlive:
    """How often a member is asked, and how long it may be silent: both in 100 ms [8.4]."""

    period: int
    timeout: int


@record
class Options:
    """What a message's TLVs say; None or () where there is none. The order of fields is that of the types."""

    name: str | None = None
    content: str | None = None
    owner: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    media: str | None = None
    core_members: tuple[str, ...] = ()
    keep_alive: KeepAlive | None = None
    invited_members: tuple[str, ...] = ()
    client_name: str | None = None
    token: bytes | None = field(default=None, repr=False)
    group_key: bytes | None = field(default=None, repr=False)
    key_generation: int | None = None
    reject_reason: int | None = None
    client_mm_port: int | None = None
    start_condition: int | None = None
    roll_over_counter: int | None = None
    unreadable: tuple[OptionType, ...] = field(default=(), compare=False)
    skipped: int = field(default=0, compare=False)


NO_OPTIONS = Options()
"""Of a message without any."""


class _Form:
    """How the value of one TLV is read and written, and the field of Options that has it."""

    __slots__ = ("code", "is_repeatable", "name", "read", "size", "write")

    def __init__(
        self,
        code: OptionType,
        name: str,
        read: Callable[[bytes], Any],
        write: Callable[[Any], bytes],
        size: int | None = None,
        *,
        is_repeatable: bool = False,
    ) -> None:
        self.code = code
        self.name = name
        self.read = read
        self.write = write
        self.size = size
        self.is_repeatable = is_repeatable


def _text(code: OptionType, name: str) -> _Form:
    return _Form(code, name, lambda value: value.decode(), lambda value: value.encode())


def _name(code: OptionType, name: str, *, is_repeatable: bool = False) -> _Form:
    return _Form(code, name, _read_name, lambda value: value.encode(), is_repeatable=is_repeatable)


def _read_name(value: bytes) -> str:
    if len(value) > NAME_MAXIMUM:
        raise ValueError(f"a name of {len(value)} bytes")
    return value.decode()


def _octets(code: OptionType, name: str) -> _Form:
    return _Form(code, name, bytes, bytes)


def _number(code: OptionType, name: str, form: str) -> _Form:
    layout = Struct(form)
    return _Form(code, name, lambda value: layout.unpack(value)[0], layout.pack, layout.size)


_KEEP_ALIVE = Struct("!BBxx")

_FORMS: tuple[_Form, ...] = (
    _name(OptionType.NAME, "name"),
    _text(OptionType.CONTENT, "content"),
    _text(OptionType.OWNER, "owner"),
    _number(OptionType.START_TIME, "start_time", "!Q"),
    _number(OptionType.END_TIME, "end_time", "!Q"),
    _text(OptionType.MEDIA, "media"),
    _name(OptionType.CORE_MEMBER, "core_members", is_repeatable=True),
    _Form(
        OptionType.KEEP_ALIVE,
        "keep_alive",
        lambda value: KeepAlive(*_KEEP_ALIVE.unpack(value)),
        lambda value: _KEEP_ALIVE.pack(value.period, value.timeout),
        _KEEP_ALIVE.size,
    ),
    _name(OptionType.INVITED_MEMBER, "invited_members", is_repeatable=True),
    _name(OptionType.CLIENT_NAME, "client_name"),
    _octets(OptionType.TOKEN, "token"),
    _octets(OptionType.GROUP_KEY, "group_key"),
    _number(OptionType.KEY_GENERATION, "key_generation", "!I"),
    _number(OptionType.REJECT_REASON, "reject_reason", "!H"),
    _number(OptionType.CLIENT_MM_PORT, "client_mm_port", "!H"),
    _number(OptionType.START_CONDITION, "start_condition", "!B"),
    _number(OptionType.ROLL_OVER_COUNTER, "roll_over_counter", "!I"),
)


def _reader(form: _Form) -> Reader[tuple[_Form, Any] | None]:
    def read(data: bytes, start: int, end: int) -> tuple[_Form, Any] | None:
        if form.size is not None and form.size != end - start:
            detail = f"GMP option {form.code.name} has a value of {end - start} bytes, not {form.size}"
            raise DecodeError("option-size", detail)
        try:
            return form, form.read(data[start:end])
        except ValueError:  # as UnicodeDecodeError is
            return form, None

    return 1 << form.code, read


def _skipped(_data: bytes, _start: int, _end: int) -> None:
    return None


_READERS: dict[int, Reader[tuple[_Form, Any] | None]] = {
    **dict.fromkeys(range(256), (0, _skipped)),
    **{int(form.code): _reader(form) for form in _FORMS},
}


def read_options(data: bytes) -> Options:
    """The options behind a message's header.

    Raises DecodeError ``parameter-overrun`` and ``parameter-size`` for TLVs that cannot be walked, ``option-size`` for a
    value that is not as long as its type's.
    """
    if len(data) == HEADER_SIZE:
        return NO_OPTIONS
    found, _ = read_parameters(data, HEADER_SIZE, _HEADER, _READERS, "GMP", _ALIGNMENT)
    values: dict[str, Any] = {}
    unreadable: list[OptionType] = []
    repeated: set[str] = set()
    skipped = 0
    for item in found:
        if item is None:
            skipped += 1
            continue
        form, value = item
        if value is None:
            unreadable.append(form.code)
        elif form.is_repeatable:
            values.setdefault(form.name, []).append(value)
            repeated.add(form.name)
        elif form.name in values:
            skipped += 1
        else:
            values[form.name] = value
    for name in repeated:
        values[name] = tuple(values[name])
    return Options(**values, unreadable=tuple(unreadable), skipped=skipped)


def option_rows(options: Options) -> list[tuple[OptionType, bytes]]:
    """Each TLV of ``options`` as its type and value; raises EncodeError for a value that does not fit its type."""
    rows = []
    for form in _FORMS:
        value = getattr(options, form.name)
        if value is None:
            continue
        for one in value if form.is_repeatable else (value,):
            try:
                rows.append((form.code, form.write(one)))
            except (struct_error, UnicodeEncodeError) as error:
                raise EncodeError(f"option {form.name} {one!r}: {error}") from None
    return rows


def write_options(options: Options) -> bytes:
    """The TLVs of ``options``; raises EncodeError for what cannot be written."""
    if options is NO_OPTIONS:
        return b""
    pieces = []
    for code, value in option_rows(options):
        size = OPTION_HEADER_SIZE + len(value)
        try:
            pieces.append(_HEADER.pack(code, size) + value + bytes(-size % _ALIGNMENT))
        except struct_error:
            raise EncodeError(f"option {code.name} of {len(value)} bytes: its length has 16 bits") from None
    return b"".join(pieces)
