"""The handover lab on real daemons: both families, root and ordinary user, strangers' roles, media, and every bad end."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.host.checks import eventually
from tests.labs.runs import AS_ROOT, AS_USER, Run, as_root, finish, long, run, start

pytestmark = pytest.mark.timeout(240)

END_DEADLINE_S = 20.0
FIELDS = {
    "mode", "mn", "from", "to", "l2_gap_ms", "address_delay_ms", "disruption_ms", "excess_ms", "lost", "duplicates",
    "hir_hic_ms", "first_packet_after_link_up_ms",
}  # fmt: skip


def passed(finished: Run) -> None:
    assert finished.status == 0, finished.explain()
    assert finished.result["verdict"] == "pass"


@pytest.mark.parametrize(
    ("family", "user"),
    [
        pytest.param("4", AS_ROOT, marks=as_root),
        ("6", AS_USER),
        pytest.param("4", AS_USER, marks=long),
        pytest.param("6", AS_ROOT, marks=[as_root, long]),
    ],
)
def test_both_ways_to_move(tmp_path: Path, family: str, user: str) -> None:
    finished = run(tmp_path, "handover", "--family", family, "--repeat", "2", user=user)
    passed(finished)
    result = finished.result
    assert (result["lab"], result["family"]) == ("handover", int(family))
    assert [row["mode"] for row in result["handovers"]] == ["proactive"] * 2 + ["reactive"] * 2
    for row in result["handovers"]:
        assert row.keys() >= FIELDS
        assert row["outcome"] == {"proactive": "predictive", "reactive": "reactive"}[row["mode"]]
        # What the receiver counted itself, in the same window, packet by packet.
        assert (row["receiver"]["packets"], row["receiver"]["lost"]) == (row["packets"], row["lost"])
        assert row["packets"] > 100
        assert row["lost"] > 10, "a gap of 50 ms at 1000 packets/s loses some"
    assert result["rules"]["checked"] > 20
    assert result["counters"]["mn"]["sent.HIR"] == 2
    assert result["counters"]["lmc2"]["received.HCT"] + result["counters"]["lmc1"]["received.HCT"] == 2
    assert not [name for role in result["counters"].values() for name in role if name.startswith("dropped.")]
    assert result["rules"]["failed"] == []
    packs = result["packs"]
    assert set(packs) == {"igmp" if family == "4" else "mld", "pim", "rtp"}
    assert {name: pack["failed"] for name, pack in packs.items()} == dict.fromkeys(packs, 0)
    assert min(pack["passed"] for pack in packs.values()) > 10
    assert "\npacks    " in finished.out
    assert finished.folder is not None
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {"lab.pcapng", "result.json", "model.json", "config", "logs", "traces", "capture", "steps.jsonl"}
    assert "PASS  4 handovers" in finished.out
    report = finished.folder / "report.html"
    assert 100_000 < report.stat().st_size < 3_000_000
    assert finished.out.splitlines()[-1].startswith("report   ")
    assert finished.out.endswith(f"/{finished.folder.name}/report.html\n")
    assert "\x1b" not in finished.out + finished.errors, "plain text where there is no terminal"


@pytest.mark.parametrize("family", ["4", pytest.param("6", marks=long)])
def test_an_overlap_too_short_falls_back_and_says_so(tmp_path: Path, family: str) -> None:
    finished = run(
        tmp_path, "handover", "--family", family, "--modes", "proactive", "--repeat", "2", "--overlap", "0ms"
    )
    passed(finished)
    assert [row["outcome"] for row in finished.result["handovers"]] == ["fallback"] * 2
    assert "pass: fallback" in finished.out


@pytest.mark.parametrize(
    "words", [("4", "--igmp", "2"), pytest.param(("6", "--mld", "1"), marks=long)], ids=("igmpv2", "mldv1")
)
def test_a_cell_that_filters_hears_the_node_before_it_has_its_address(tmp_path: Path, words: tuple[str, ...]) -> None:
    # The bridges filter only when they have heard a querier for a while: the mode that matters comes last.
    modes = ("--modes", "reactive,proactive", "--repeat", "2")
    finished = run(tmp_path, "handover", "--snooping", "on", *modes, "--family", *words)
    passed(finished)
    prepared = [row for row in finished.result["handovers"] if row["mode"] == "proactive"]
    assert [row["expected"] for row in prepared] == ["prepared"] * 2
    assert statistics.median(row["excess_ms"] for row in prepared) < 60


def test_silent_node_waits_for_the_querier(tmp_path: Path) -> None:
    finished = run(tmp_path, "handover", "--modes", "silent", "--repeat", "1", "--address-delay", "0ms")
    passed(finished)
    (row,) = finished.result["handovers"]
    assert row["outcome"] == "silent"


def test_four_at_once_do_not_notice_each_other(tmp_path: Path) -> None:
    labs = [
        (folder, start(folder, "handover", "--repeat", "1", "--rate", "200", "--family", family))
        for folder, family in ((tmp_path / f"lab{number}", "46"[number % 2]) for number in range(4))
    ]
    for folder, process in labs:
        passed(finish(process, folder))


def test_a_strangers_session_manager(tmp_path: Path) -> None:
    stranger = Path(__file__).with_name("stranger_sm.py")
    configuration = tmp_path / "lab.toml"
    configuration.write_text(f'[external]\nsm = ["{sys.executable}", "{stranger}", "{{config}}"]\n')
    finished = run(tmp_path, "handover", "--repeat", "2", "--modes", "proactive", "--lab-config", str(configuration))
    passed(finished)
    assert finished.folder is not None
    assert not (finished.folder / "traces/sm.jsonl").exists(), "our own SM has run"


def test_a_real_clip_survives_the_walk(tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    subprocess.run(
        ["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
         "-t", "20", "-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-b:v", "1M", "-f", "mpegts", str(clip)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    finished = run(tmp_path, "handover", "--repeat", "1", "--modes", "proactive", "--media", str(clip))
    passed(finished)
    assert finished.folder is not None
    judged = subprocess.run(
        ["ffprobe", "-hide_banner", "-loglevel", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
         "stream=codec_name,width,height,nb_read_frames", "-of", "json", str(finished.folder / "received.ts")],
        check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (stream,) = json.loads(judged.stdout)["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 320, 240)
    seconds = finished.result["handovers"][0]["packets"] * 1316 * 8 / 1e6 / 2  # half of what came while we measured
    assert int(stream["nb_read_frames"]) > 25 * min(seconds, 1.0)


# --- bad input, bad ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["handver"], "Did you mean handover? Labs: campus, crash, famh"),
        (["handover", "--l2-gap", "50"], "'50' has no unit: write 50ms or 50s"),
        (["handover", "--l2-gap=-5ms"], "-5ms is out of bounds: 0ms to 10s"),
        (["handover", "--l2-gap", "3h"], "'3h' is no duration"),
        (["handover", "--rate", "1000000"], "out of bounds: 10 to 5000 packets/s"),
        (["handover", "--repeat", "0"], "out of bounds: 1 to 1000"),
        (["handover", "--modes", "proactive,swift"], "'swift' is not one of proactive, reactive, silent"),
        (["handover", "--family", "5"], "'5' is not one of 4, 6"),
        (["handover", "--media", "/nowhere.ts"], "there is no such file"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, words: list[str], said: str) -> None:
    finished = run(tmp_path, *words)
    assert finished.status == 2
    assert said in finished.errors
    assert len(finished.errors.strip().splitlines()) == 1, finished.errors
    assert finished.folder is None, "nothing was run, so there is no folder"


def test_media_that_is_no_transport_stream(tmp_path: Path) -> None:
    finished = run(tmp_path, "handover", "--media", str(Path(__file__)))
    assert finished.status == 2
    assert "no sync byte" in finished.errors


def test_an_external_role_that_the_lab_does_not_have_is_refused(tmp_path: Path) -> None:
    configuration = tmp_path / "lab.toml"
    configuration.write_text("""[external]\nmm = ["false"]\n""")
    finished = run(tmp_path, "handover", "--lab-config", str(configuration))
    assert finished.status == 2
    said = "external.mm: lab handover has no such role; did you mean mn or sm? Roles: lmc1, lmc2, mcs, mn, receiver, sm"
    assert said in finished.errors
    assert finished.folder is None, "nothing was run, so there is no folder"


@pytest.mark.parametrize(
    ("family", "limit", "said"),
    [
        (
            "4",
            1,
            "the source on mcs sends to 239.1.1.1 with TTL 1: no router forwards that; let it send with 3 or more",
        ),
        ("6", 2, "the source on mcs sends to ff1e::1:1 with hop limit 2: 1 of 2 routers on the way forward that"),
    ],
)
def test_a_source_whose_packets_cannot_arrive_is_named(tmp_path: Path, family: str, limit: int, said: str) -> None:
    stranger, configuration = Path(__file__).with_name("stranger_source.py"), tmp_path / "lab.toml"
    configuration.write_text(f'[external]\nmcs = ["{sys.executable}", "{stranger}", "{{config}}", "{limit}"]\n')
    finished = run(tmp_path, "handover", "--family", family, "--lab-config", str(configuration))
    assert finished.status == 2
    assert said in finished.errors


def test_pauses_of_a_bursty_source_are_no_outage(tmp_path: Path) -> None:
    stranger, configuration = Path(__file__).with_name("stranger_source.py"), tmp_path / "lab.toml"
    words = [sys.executable, str(stranger), "{config}", "16", "100", "0.4"]  # 100 ms of packets, 400 ms of nothing
    configuration.write_text(f"[external]\nmcs = {json.dumps(words)}\n")
    finished = run(tmp_path, "handover", "--repeat", "3", "--modes", "proactive", "--lab-config", str(configuration))
    passed(finished)
    for row in finished.result["handovers"]:
        assert row["longest_silence_ms"] > 390, "a pause"
        assert row["disruption_ms"] < 250


def test_a_role_that_dies_is_named_with_its_status_and_last_words(tmp_path: Path) -> None:
    configuration = tmp_path / "lab.toml"
    configuration.write_text("""[external]\nlmc2 = ["sh", "-c", "echo my last words; exit 3"]\n""")
    finished = run(tmp_path, "handover", "--lab-config", str(configuration))
    assert finished.status == 2
    assert "lmc2 on node lmc2 ended with exit status 3" in finished.errors
    assert "my last words" in finished.errors
    assert finished.result["verdict"] == "could-not-run"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    thief = (
        "import socket,subprocess,sys\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('10.0.20.2',24793))\n"
        "sys.exit(subprocess.run([sys.executable,'-m','agents','mmcp','sm','--config',sys.argv[1]]).returncode)"
    )
    configuration = tmp_path / "lab.toml"
    configuration.write_text(f'[external]\nsm = ["{sys.executable}", "-c", """{thief}""", "{{config}}"]\n')
    finished = run(tmp_path, "handover", "--lab-config", str(configuration))
    assert finished.status == 2
    assert "10.0.20.2:24793" in finished.errors
    assert "in use" in finished.errors


def test_a_daemon_that_dies_is_named(tmp_path: Path) -> None:
    configuration = tmp_path / "lab.toml"
    # Whoever plays a role shares the sandbox's process ids, so it can take a router's daemon away.
    configuration.write_text("""[external]\nlmc1 = ["sh", "-c", "kill -9 $(pidof pimd); exec sleep 60"]\n""")
    finished = run(tmp_path, "handover", "--lab-config", str(configuration))
    assert finished.status == 2
    assert "-pimd on node" in finished.errors
    assert "was killed by SIGKILL" in finished.errors


def members_of(process: subprocess.Popen[str]) -> set[int]:
    """All processes below a run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [process.pid]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def alive(pids: set[int]) -> list[str]:
    """Those of the processes that still run; zombies do not."""
    left = []
    for pid in pids:
        with suppress(OSError):
            if "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                left.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return left


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_a_random_moment_leaves_nothing(tmp_path: Path, seed: int) -> None:
    """Kill a random process of the lab, the first one included, at a random step."""
    moment = random.Random(seed)
    process = start(tmp_path, "handover", "--repeat", "20")
    steps = tmp_path / "latest/steps.jsonl"
    wanted = moment.randrange(0, 12)

    def reached() -> tuple[bool, str]:
        assert process.poll() is None, finish(process, tmp_path).explain()
        seen = steps.read_text().count("\n") if steps.exists() else 0
        return seen >= wanted, f"{seen} steps"

    eventually(f"{wanted} steps of the scenario", reached, 60.0)
    members = members_of(process)
    # Later in the order means deeper in the tree: daemons, roles, recorders; the first is the run itself.
    victim = process.pid if seed == 0 else moment.choice(sorted(members))
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    finished = finish(process, tmp_path)
    assert finished.status not in (0, 1), finished.explain()

    def gone() -> tuple[bool, str]:
        left = alive(members)
        return not left, f"still there: {left}"

    eventually("every process of the lab to be gone", gone, END_DEADLINE_S)


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    process = start(tmp_path, "handover", "--repeat", "50")
    steps = tmp_path / "latest/steps.jsonl"
    eventually("a handover", lambda: (steps.exists() and "link_down" in steps.read_text(), "none"), 60.0)
    members = members_of(process)
    process.send_signal(signal.SIGINT)
    finished = finish(process, tmp_path)
    assert finished.status == 130, finished.explain()
    assert finished.result["error"] == "interrupted"
    assert "Traceback" not in finished.errors
    assert alive(members) == []
    assert finished.folder is not None
    assert (finished.folder / "lab.pcapng").exists(), "what was captured is kept"


@pytest.mark.parametrize("seen", ["request.json", "model.json"])
def test_ctrl_c_before_there_is_a_network_leaves_a_result(tmp_path: Path, seen: str) -> None:
    process = start(tmp_path, "pingpong")
    eventually(f"{seen} of the run", lambda: ((tmp_path / "latest" / seen).exists(), "none"), 60.0)
    process.send_signal(signal.SIGINT)
    finished = finish(process, tmp_path)
    assert finished.status == 130, finished.explain()
    assert finished.result["error"] == "interrupted"
    assert "Traceback" not in finished.errors
    assert "interrupted" in finished.errors
