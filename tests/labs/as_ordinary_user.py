"""Becomes nobody and executes ARGV: `python as_ordinary_user.py FOLDER TARGET [FOLDER TARGET …] -- ARGV…`.

Each FOLDER appears at TARGET first, in a mount namespace of this process alone, so that a project below somebody's
private folder can be reached. The working folder is the first TARGET.
"""

import ctypes
import os
import sys

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
NOBODY = 65534


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    separator = sys.argv.index("--")
    words, argv = sys.argv[1:separator], sys.argv[separator + 1 :]
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "private mounts")
    for source, target in zip(words[::2], words[1::2], strict=True):
        flags = ctypes.c_ulong(MS_BIND | MS_REC)
        check(libc.mount(source.encode(), target.encode(), None, flags, None), f"bind {source} to {target}")
    os.chdir(words[1])
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execvp(argv[0], argv)  # noqa: S606  # an argv list is what it should be


if __name__ == "__main__":
    main()
