"""Packets of good captures lost, held back, doubled, swapped and damaged, one at a time: the rule that owns it must notice."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

import pytest

from captures.files.capture import CaptureError
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.packs.pack import Settings
from tests.captures import gmp_mutation_owners as told_of_gmp
from tests.captures import mutation_owners as told
from tests.captures.mutating import real, scripted
from tests.captures.mutations import Told, account_of
from tests.captures.scripted_gmp import as_capture
from tests.captures.scripted_link import SRT_S

DATA = Path(__file__).parent / "data"
REAL = ("handover-ipv4", "handover-ipv6", "status-ipv4", "status-ipv6")
AT_LEAST = 0.95


@pytest.mark.timeout(180)  # some hundred judgements of whole captures
def test_every_mutation_of_a_scripted_link_has_one_owner_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account, used = account_of(scripted(), tmp_path / "link.pcapng", Settings(timers={"srt": SRT_S}), owned=4)
    with capsys.disabled():
        print(account.text("a scripted link"))
    assert not set(told.OWNERS) & set(told.ALLOWED)
    assert {name for name in told.OWNERS if "USP without answer" not in name} <= used
    assert account.owned >= 250
    assert account.caught >= AT_LEAST * account.owned
    assert account.excused == []


@pytest.mark.timeout(180)  # as above
def test_every_mutation_of_scripted_gmp_has_one_owner_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by = Told(told_of_gmp.OWNERS, told_of_gmp.ALLOWED, later_s=2.4, edges_s=(1.0, 0.0))
    account, used = account_of(as_capture(), tmp_path / "gmp.pcapng", None, owned=2, by=by)
    with capsys.disabled():
        print(account.text("scripted GMP"))
    assert not set(by.owners) & set(by.allowed)
    assert set(by.owners) <= used
    assert account.owned >= 250
    assert account.caught >= AT_LEAST * account.owned
    assert account.excused == []


# --- real captures: two labs over IPv4 and IPv6, with their data packets taken out but for a short while at the node


@pytest.mark.parametrize("name", REAL)
def test_real_captures_break_no_rule(name: str) -> None:
    found = verify(CaptureReader(DATA / f"{name}.pcapng"))
    assert [(v.rule, v.message) for v in found.verdicts if v.verdict == "failed"] == []
    passed = {verdict.rule for verdict in found.verdicts if verdict.verdict == "passed"}
    assert len(passed) >= 40
    assert found.warnings == []


def test_real_captures_damaged_anywhere_are_judged_or_refused() -> None:
    """Octets of whole files changed at random: a verdict or a refusal, and nothing else."""
    order = random.Random(5)
    whole = [(DATA / f"handover-ipv{family}.pcapng").read_bytes() for family in (4, 6)]
    ended: Counter[str] = Counter()
    for _ in range(150):
        octets = bytearray(order.choice(whole))
        for _ in range(order.choice((1, 5, 50, 500))):
            octets[order.randrange(len(octets))] = order.randrange(256)
        try:
            verify(CaptureReader(io.BytesIO(bytes(octets))))
            ended["judged"] += 1
        except CaptureError:
            ended["refused"] += 1
    assert ended["judged"] > 100


@pytest.mark.parametrize("name", REAL)
def test_mutations_of_real_captures_are_caught(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Packets of all protocols, each mutated wherever it was captured on its way."""
    account, _ = account_of(real(DATA / f"{name}.pcapng"), tmp_path / "run.pcapng", None, owned=1)
    with capsys.disabled():
        print(account.text(name))
    assert account.owned >= 30
    assert account.caught >= AT_LEAST * account.owned
    assert account.excused == []
