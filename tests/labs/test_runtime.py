"""What the agents' runtime does when links, neighbours and interfaces fail it: scenes of inner_runtime.py, each in a namespace."""

import os
import subprocess
import sys

import pytest

from testbed.host.sandbox import PROJECT_ROOT

pytestmark = pytest.mark.timeout(120)

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


def played(*words: object, module: str = "inner_runtime") -> None:
    """Let a scene happen, the first of the words; whatever it says is shown when it fails."""
    alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--"]
    inner = [sys.executable, "-m", f"tests.labs.{module}", *map(str, words)]
    done = subprocess.run([*alone, *inner], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=100)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@FAMILIES
@pytest.mark.parametrize("scene", ["unreachable", "unreachable-ip"])
def test_one_unreachable_peer_starves_no_other(scene: str, family: int) -> None:
    played(scene, family)


@pytest.mark.parametrize("scene", ["links-held", "links-lost"])
def test_thousands_of_link_events_hide_none_that_matters(scene: str) -> None:
    played(scene, 4)


@FAMILIES
def test_memberships_outlive_links_and_interfaces(family: int) -> None:
    played("memberships", family)


@FAMILIES
def test_a_role_that_renews_at_once_hears_by_the_new_interface(family: int) -> None:
    played("renewed-at-once", family)


@FAMILIES
def test_a_port_outlives_its_address(family: int) -> None:
    played("ports", family)


@pytest.mark.parametrize(
    "words",
    [(4, 3), (4, 2), (6, 2), (6, 1), (4, 3, "10.9.0.2"), (6, 2, "fd09::2")],
    ids=lambda words: "-".join(map(str, words)),
)
def test_a_membership_is_reported_at_once_in_the_version_that_the_kernel_speaks(words: tuple[object, ...]) -> None:
    played(*words, module="inner_reports")


@FAMILIES
@pytest.mark.parametrize("scene", ["waited-for", "told"])
def test_an_address_that_the_host_gives_is_waited_for(scene: str, family: int) -> None:
    played(scene, family, module="inner_addresses")


def test_a_duplicate_of_somebody_elses_address_is_not_used() -> None:
    played("duplicate", 6, module="inner_addresses")
