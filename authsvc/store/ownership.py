"""Whose files root makes: commands are run as root, and the service's own user must be able to use what they leave."""

from __future__ import annotations

import os


def hand_over(descriptor: int, path: str) -> None:
    """Give a file that was made just now (O_EXCL) to the owner of its folder. Only root can, and only root has to. By its
    descriptor: under its name the folder's owner may have put something else meanwhile."""
    if os.geteuid() == 0:
        owner = os.stat(os.path.dirname(path) or ".")
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
