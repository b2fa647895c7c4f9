"""Forwarding trees that a scenario keeps: as text in ``trees.txt`` of the run's folder, and the last one as ``tree.svg``."""

from __future__ import annotations

from testbed.routing.tree import forwarding_tree
from testbed.run.laboratory import RunningLab

TREES = "trees.txt"


def keep_trees(lab: RunningLab, moment: str) -> None:
    """Keep how the lab's groups are forwarded now. ``moment``: what it shows, in words."""
    sending: set[str] = set()
    with (lab.network.run_folder / TREES).open("a", encoding="utf-8") as file:
        for stream in lab.model.streams:
            tree = forwarding_tree(lab.network, stream.group)
            file.write(f"{moment}\n{tree}\n\n")
            sending |= tree.sending
    lab.sending.append(frozenset(sending))
