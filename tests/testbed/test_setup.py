"""The set-up: what it makes, when it makes it again, and what it says when it cannot.

`setup.sh` runs here in a copy of the project whose two recipes are small stand-ins, with stand-ins for apt-get, dpkg-query,
sudo and id first on PATH: neither the network nor the machine's packages are touched.
"""

import hashlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from testbed import protocols, setup
from testbed.setup import PROJECT, NotSetUpError

ENVIRONMENT_RECIPE = """#!/bin/bash
set -eu
echo run >>"$TALLY/environment"
env >"$TALLY/variables"
mkdir -p "$1"/{bin,lib/python3.11/site-packages/click}
ln -s /usr/bin/python3 "$1/bin/python"
"""

ROUTING_ROOT_RECIPE = """#!/bin/bash
set -eu
echo run >>"$TALLY/routing-root"
mkdir -p "$1"/{run,usr/lib/frr}
install /bin/true "$1/usr/lib/frr/pimd"
echo frr 10.3 amd64 >"$1/manifest"
"""

STAND_INS = {
    # Packages that are installed are lines of a file; apt-get install adds to it.
    "dpkg-query": 'for name in "${@:3}"; do if grep -qx "$name" "$TALLY/installed"; then echo "$name installed"; fi; done',
    "apt-get": """echo "apt-get $*" >>"$TALLY/commands"
if [ "$1" = install ]; then for word in "${@:2}"; do case $word in -*) ;; *) echo "$word" >>"$TALLY/installed" ;; esac; done; fi""",
    "sudo": 'echo "sudo $*" >>"$TALLY/commands"; [ -e "$TALLY/sudo-works" ] || exit 1; '
    'case $1 in -*) ;; *) exec "$@" ;; esac',
    "id": 'cat "$TALLY/user"',
}


class Machine:
    """A copy of the project with stand-ins, and what was done in it."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.tally = folder / "tally"
        self.tally.mkdir(parents=True)
        shutil.copytree(
            PROJECT / "testbed/setup", self.recipes, ignore=lambda *_: ["__pycache__"], copy_function=shutil.copy
        )
        for name in ("requirements.lock", "requirements-test.lock"):
            (self.project / name).write_text(f"# {name}\n")
        self.script(self.recipes / "environment.sh", ENVIRONMENT_RECIPE)
        self.script(self.recipes / "routing-root.sh", ROUTING_ROOT_RECIPE)
        for name, body in STAND_INS.items():
            self.script(folder / "bin" / name, f"#!/bin/bash\n{body}\n")
        self.environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "TALLY": str(self.tally), "LC_ALL": "C.UTF-8"}
        self.user(0)
        self.installed(*self.packages("debian-main.txt"), *self.packages_of_tests())

    @property
    def recipes(self) -> Path:
        return self.project / "testbed/setup"

    @staticmethod
    def script(path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def packages(self, file: str) -> list[str]:
        lines = (line.partition("#")[0].strip() for line in (self.recipes / file).read_text().splitlines())
        return [line for line in lines if line]

    def packages_of_tests(self) -> list[str]:
        browser = platform.freedesktop_os_release()["ID"] == "debian"  # Ubuntu has no package of one
        return [*self.packages("debian-test.txt"), *(self.packages("debian-test-browser.txt") if browser else [])]

    def installed(self, *names: str) -> None:
        (self.tally / "installed").write_text("".join(f"{name}\n" for name in names))

    def user(self, number: int) -> None:
        (self.tally / "user").write_text(f"{number}\n")

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["testbed/setup/setup.sh", *arguments],
            cwd=self.project,
            env={**self.environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def set_up(self, *arguments: str, status: int = 0, variables: Mapping[str, str] | None = None) -> str:
        process = self.start(*arguments, variables=variables)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == status, said
        return said

    def times(self, recipe: str) -> int:
        """Return how often a recipe ran."""
        tally = self.tally / recipe
        return len(tally.read_text().splitlines()) if tally.exists() else 0

    def commands(self) -> list[str]:
        tally = self.tally / "commands"
        return tally.read_text().splitlines() if tally.exists() else []

    def routing_roots(self) -> list[str]:
        return sorted(path.name for path in (self.project / ".lab").glob("*routing*"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_makes_everything_once_and_is_silent_after_that(machine: Machine) -> None:
    said = machine.set_up()
    assert "Python packages of requirements.lock into .venv" in said
    assert "set-up: ready (" in said
    began = time.monotonic()
    assert machine.set_up() == ""
    assert time.monotonic() - began < 1.0
    assert (machine.times("environment"), machine.times("routing-root")) == (1, 1)
    assert machine.commands() == []


def test_the_folder_it_names_is_the_one_labs_look_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "RECIPE", machine.recipes / "routing-root.sh")
    with pytest.raises(NotSetUpError, match="run `make setup` in"):
        setup.routing_root(machine.project)
    machine.set_up()
    root = setup.routing_root(machine.project)
    digits = hashlib.sha256(ROUTING_ROOT_RECIPE.encode()).hexdigest()[:12]
    assert root == machine.project / ".lab" / f"routing-{digits}"
    assert setup.routing_versions(root) == {"frr": "10.3"}


def test_packages_of_the_tests_come_with_the_tests_only(machine: Machine) -> None:
    machine.installed(*machine.packages("debian-main.txt"))
    machine.set_up()
    assert machine.commands() == []
    machine.set_up("test")
    wanted = " ".join(sorted(machine.packages_of_tests()))
    assert machine.commands()[-1].startswith(f"apt-get install --yes --no-install-recommends {wanted} ")
    assert machine.times("environment") == 2
    assert machine.set_up("test") == ""
    # Whoever has them is ready for labs too, and does not lose them when those need something new.
    assert machine.set_up() == ""
    (machine.project / "requirements.lock").write_text("# changed\n")
    assert "requirements-test.lock" in machine.set_up()
    assert machine.set_up("test") == ""


def test_only_missing_packages_are_installed_and_directly_by_root(machine: Machine) -> None:
    machine.installed(*(name for name in machine.packages("debian-main.txt") if name not in {"ethtool", "mininet"}))
    machine.set_up()
    update, install = machine.commands()
    assert update.startswith("apt-get update")
    assert install.startswith("apt-get install --yes --no-install-recommends ethtool mininet ")


def test_an_ordinary_user_needs_sudo_for_packages_only(machine: Machine) -> None:
    machine.user(1000)
    machine.installed()
    (machine.tally / "sudo-works").touch()
    machine.set_up()
    words = [command for command in machine.commands() if command.startswith("sudo ") and "apt-get" in command]
    assert len(words) == 2
    assert machine.times("routing-root") == 1


def test_without_sudo_the_one_command_is_printed(machine: Machine) -> None:
    machine.user(1000)
    machine.installed(*(name for name in machine.packages("debian-main.txt") if name != "mmdebstrap"))
    said = machine.set_up(status=2)
    assert "apt-get update && apt-get install --yes --no-install-recommends mmdebstrap\n" in said
    assert [command for command in machine.commands() if command.startswith("apt-get")] == []
    assert not (machine.project / ".venv").exists()


def test_an_ordinary_user_with_all_packages_needs_nobody(machine: Machine) -> None:
    machine.user(1000)
    machine.set_up()
    assert machine.commands() == []


def test_a_changed_recipe_makes_a_new_routing_root_and_removes_the_old(machine: Machine) -> None:
    machine.set_up()
    (before,) = machine.routing_roots()
    machine.script(machine.recipes / "routing-root.sh", ROUTING_ROOT_RECIPE + "# changed\n")
    machine.set_up()
    (after,) = machine.routing_roots()
    assert after != before
    assert (machine.times("environment"), machine.times("routing-root")) == (1, 2)


def test_a_changed_lock_file_makes_a_new_environment(machine: Machine) -> None:
    machine.set_up()
    (machine.project / "requirements.lock").write_text("# changed\n")
    machine.set_up()
    assert (machine.times("environment"), machine.times("routing-root")) == (2, 1)


@pytest.mark.parametrize(
    ("removed", "recipe"),
    [
        (".venv", "environment"),
        (".venv/bin/python", "environment"),
        (".venv/lib/python3.11/site-packages/click", "environment"),
        (".lab/routing-*", "routing-root"),
        (".lab/routing-*/manifest", "routing-root"),
        (".lab/routing-*/usr/lib/frr/pimd", "routing-root"),
    ],
)
def test_what_somebody_removed_is_made_again(machine: Machine, removed: str, recipe: str) -> None:
    machine.set_up()
    (path,) = machine.project.glob(removed)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    machine.set_up()
    assert machine.times(recipe) == 2
    assert machine.set_up() == ""


@pytest.mark.parametrize("recipe", ["environment", "routing-root"])
def test_killed_half_way_nothing_half_made_is_believed(machine: Machine, recipe: str) -> None:
    whole = (machine.recipes / f"{recipe}.sh").read_text()
    machine.script(machine.recipes / f"{recipe}.sh", whole + 'touch "$TALLY/half-way"\nexec sleep 60\n')
    process = machine.start()
    deadline = time.monotonic() + 20
    while not (machine.tally / "half-way").exists():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "the recipe never got half way"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    machine.script(machine.recipes / f"{recipe}.sh", whole)
    assert "ready" in machine.set_up()
    assert len(machine.routing_roots()) == 1
    assert not list(machine.project.glob(".venv.*"))
    assert machine.set_up() == ""


def test_two_at_once_do_the_work_once(machine: Machine) -> None:
    both = [machine.start(), machine.start()]
    for process in both:
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
    assert (machine.times("environment"), machine.times("routing-root")) == (1, 1)


@pytest.mark.parametrize("recipe", ["environment", "routing-root"])
def test_a_failure_is_told_in_one_line_with_the_place_of_the_log(machine: Machine, recipe: str) -> None:
    machine.script(
        machine.recipes / f"{recipe}.sh",
        "#!/bin/bash\nmkdir -p $1\necho a lot of output\necho 'ERROR: Temporary failure in name resolution'\necho more\nexit 7\n",
    )
    said = machine.set_up(status=1)
    assert "failed with exit status 7: ERROR: Temporary failure in name resolution" in said
    assert ".lab/setup.log" in said
    assert "a lot of output" not in said
    assert "a lot of output" in (machine.project / ".lab/setup.log").read_text()
    made = {path.name for path in machine.project.iterdir()} | {
        path.name for path in (machine.project / ".lab").iterdir()
    }
    assert not {name for name in made if "making" in name}


def test_settings_of_the_callers_python_do_not_leak_in(machine: Machine) -> None:
    machine.set_up(variables={"VIRTUAL_ENV": "/elsewhere", "PYTHONPATH": "/elsewhere", "PIP_TARGET": "/elsewhere"})
    assert "/elsewhere" not in (machine.tally / "variables").read_text()


def test_a_folder_that_is_not_ours_is_refused_clearly(machine: Machine) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    machine.project.chmod(0o555)
    try:
        assert "is not writable for" in machine.set_up(status=2)
    finally:
        machine.project.chmod(0o755)


ODD = "mü'ller & co [1] * 100%"


def test_a_folder_with_any_name_is_set_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path / ODD)
    assert "set-up: ready (" in machine.set_up("test")
    assert machine.set_up("test") == ""
    assert (machine.times("environment"), machine.times("routing-root")) == (1, 1)


@pytest.mark.parametrize("character", [":", '"', "\\", "\n"])
def test_a_folder_with_a_name_that_others_refuse_is_told(tmp_path: Path, character: str) -> None:
    machine = Machine(tmp_path / f"a{character}b")
    assert "Move the project, or rename the folder." in machine.set_up(status=2)
    assert not (machine.project / ".venv").exists()


def test_the_scripts_of_an_environment_name_the_place_it_is_moved_to(tmp_path: Path) -> None:
    """The recipe itself, for no package at all, in a folder with an odd name."""
    making, place, lock = (tmp_path / ODD / name for name in ("making|&", ".venv", "requirements.lock"))
    making.parent.mkdir()
    lock.write_text("# nothing\n")
    recipe = [str(PROJECT / "testbed/setup/environment.sh"), str(making), str(place), str(lock)]
    subprocess.run(recipe, check=True, capture_output=True)
    making.rename(place)
    for script in ("python", "pip"):
        said = subprocess.run(
            [str(place / "bin" / script), "--version"], check=True, capture_output=True, text=True
        ).stdout
        assert said.startswith(("Python 3", "pip ")), said
    texts = [file.read_bytes() for file in (place / "bin").iterdir() if not file.is_symlink()]
    assert any(os.fsencode(place) in text for text in texts)
    assert not any(os.fsencode(making) in text for text in [*texts, (place / "pyvenv.cfg").read_bytes()])


def test_its_commands_work_from_any_folder_through_any_link(tmp_path: Path) -> None:
    """A folder with an odd name; the working folder has something called as the command's package is."""
    machine = Machine(tmp_path / ODD)
    machine.set_up()
    said = "import os, sys; print(sys.argv[1:], os.environ['PYTHONPATH'])"
    elsewhere = tmp_path / "elsewhere"
    for folder, text in ((machine.project, said), (elsewhere, "raise SystemExit('the wrong one')")):
        (folder / "agents").mkdir(parents=True)
        (folder / "agents/__main__.py").write_text(text)
    link = elsewhere / "a command"
    link.symlink_to(machine.project / ".venv/bin/agents")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "toys"}
    done = subprocess.run(
        [str(link), "a b", "$c"], cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"['a b', '$c'] {machine.project}:toys\n"
    (machine.project / ".venv/bin/testbed").unlink()
    machine.set_up()
    assert (machine.project / ".venv/bin/testbed").stat().st_mode & 0o111, "what somebody removed is made again"
    assert machine.times("environment") == 1


def test_an_argument_it_does_not_know_is_refused(machine: Machine) -> None:
    assert "unknown argument: tests" in machine.set_up("tests", status=2)


# --- the project's own files ------------------------------------------------------------------------------------------


def pins(file: str) -> set[str]:
    """Return the requirements of a lock file, without conditions and hashes."""
    return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (PROJECT / file).read_text(encoding="utf-8"), re.MULTILINE))


def test_lock_files_hold_every_pin_and_name_no_host() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["dependencies"]) <= pins("requirements.lock")
    assert set(project["optional-dependencies"]["test"]) | pins("requirements.lock") <= pins("requirements-test.lock")
    for file in ("requirements.lock", "requirements-test.lock"):
        text = (PROJECT / file).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        assert text.count("--hash=sha256:") >= len(pins(file))


def test_the_routing_root_is_readable_for_everyone_and_gives_no_right_away() -> None:
    root = setup.routing_root()
    assert {"frr", "smcroute"} <= set(setup.routing_versions(root))
    for path in [root, *root.rglob("*")]:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            assert mode & 0o7007 == 0o005, path
        elif not stat.S_ISLNK(mode):
            assert stat.S_ISREG(mode), path
            assert mode & 0o7006 == 0o004, path


def make(*words: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *words], cwd=PROJECT, env=variables, capture_output=True, text=True, check=False, timeout=30
    )


def test_make_hands_a_lab_its_family_and_arguments() -> None:
    said = make("--dry-run", "topo-handover", "FAMILY=6", "ARGS=--repeat 1").stdout
    assert "testbed/setup/setup.sh\n" in said
    assert "exec .venv/bin/python -m testbed run handover --family 6 --repeat 1" in said
    assert "--family" not in make("--dry-run", "topo-handover").stdout


def test_make_gives_a_labs_console_the_same() -> None:
    said = make("--dry-run", "shell-handover", "FAMILY=6", "ARGS=--snooping on").stdout
    assert "exec .venv/bin/python -m testbed shell handover --family 6 --snooping on" in said


def test_make_names_no_protocol() -> None:
    assert protocols.names()
    for file in ("Makefile", "tests/run.sh"):
        text = (PROJECT / file).read_text(encoding="utf-8").lower()
        assert [name for name in protocols.names() if name in text] == [], file


def test_make_refuses_a_family_there_is_not() -> None:
    done = make("topo-handover", "FAMILY=5")
    assert done.returncode == 2
    assert "FAMILY=5: the family is 4 or 6" in done.stderr


@pytest.mark.lab
def test_vagrant_finds_no_fault_in_the_vagrantfile(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Vagrantfile", tmp_path)
    # No provider of virtual machines has to be here, and vagrant's own state stays out of everybody's home.
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=tmp_path,
        env={**os.environ, "VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
