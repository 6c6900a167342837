"""What several processes, on several hosts, may rely on in a folder."""

import errno
import fcntl
import logging
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

log = logging.getLogger(__name__)

MOUNTS = Path("/proc/self/mountinfo")
FEW_FILES = 1000  # that can still be made, before it is said
APART_S = 60.0  # that the clocks of host and file system may differ, before it is said

# Another process asks for a lock that this one holds: 3 where it is told so, 0 where it gets it.
_ASK = """
import fcntl, sys
with open(sys.argv[1], "a") as handle:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


class Reach(StrEnum):
    """Who sees a file lock that a process holds."""

    DISK = "one host has the disk"  # so that its kernel's locks are all there are
    ALL = "every host"
    UNKNOWN = "perhaps this host alone"
    HOST = "this host alone"
    NONE = "nobody"


@dataclass(frozen=True)
class Mount:
    """What a folder lies on.

    Attributes:
        point: Where it is mounted.
        kind: The file system's type, as the kernel spells it.
        options: Those of the mount and of the file system, each as it is spelt.
    """

    point: str
    kind: str
    options: frozenset[str] = frozenset()


def mount_of(folder: Path, table: str | None = None) -> Mount | None:
    """Return what a folder lies on; None where the system does not tell.

    Args:
        folder: It need not be there yet.
        table: As in ``/proc/self/mountinfo``; left out, what is there.
    """
    if table is None:
        try:
            table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    place = os.path.realpath(folder)
    found: Mount | None = None
    for line in table.splitlines():
        mount = _mount(line)
        # what is mounted later hides what was mounted on the same place before
        if mount and _is_below(place, mount.point):
            if found is None or len(mount.point) >= len(found.point):
                found = mount
    return found


def _mount(line: str) -> Mount | None:
    before, dash, after = line.partition(" - ")
    own, of_kind = before.split(" "), after.split(" ")
    if not dash or len(own) < 6 or len(of_kind) < 3:
        return None
    options = f"{own[5]},{of_kind[2]}"
    parts = re.findall(r'(?:[^,"]|"[^"]*")+', options)  # SELinux quotes what holds commas
    return Mount(_unescaped(own[4]), of_kind[0], frozenset(parts))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _is_below(place: str, point: str) -> bool:
    return place == point or place.startswith(point.rstrip("/") + "/")


# ------------------------------------------------------------------------------------- locks


def _nfs(options: frozenset[str]) -> Reach:
    local = {"nolock", "local_lock=flock", "local_lock=all"}
    return Reach.HOST if options & local else Reach.ALL


def _lustre(options: frozenset[str]) -> Reach:
    if "localflock" in options:
        return Reach.HOST
    return Reach.ALL if "flock" in options else Reach.NONE


def _of_a_cluster(options: frozenset[str]) -> Reach:
    return Reach.HOST if "localflocks" in options else Reach.ALL


def _windows(options: frozenset[str]) -> Reach:
    return Reach.HOST if "nobrl" in options else Reach.UNKNOWN


def _always(reach: Reach) -> Callable[[frozenset[str]], Reach]:
    return lambda options: reach


# What is known of each type: who sees its locks, and what gives it locks that every host sees.
KINDS: dict[str, tuple[Callable[[frozenset[str]], Reach], str]] = {
    "nfs": (_nfs, "mount it without 'nolock' and with 'local_lock=none'"),
    "nfs4": (_nfs, "mount it without 'nolock' and with 'local_lock=none'"),
    "lustre": (_lustre, "mount it with the option 'flock'"),
    "beegfs": (_always(Reach.UNKNOWN), "set 'tuneUseGlobalFileLocks = true' in its client"),
    "cifs": (_windows, "mount it without 'nobrl', or take NFS"),
    "smb3": (_windows, "mount it without 'nobrl', or take NFS"),
    "fuse.sshfs": (_always(Reach.HOST), "sshfs has none; take NFS"),
    "9p": (_always(Reach.UNKNOWN), "take NFS"),
    "virtiofs": (_always(Reach.UNKNOWN), "let virtiofsd lock on its host, or take NFS"),
    "gfs2": (_of_a_cluster, "mount it without 'localflocks'"),
    "ocfs2": (_of_a_cluster, "mount it without 'localflocks'"),
    "gpfs": (_always(Reach.ALL), ""),
    "ceph": (_always(Reach.ALL), ""),
    "fuse.ceph-fuse": (_always(Reach.ALL), ""),
    "fuse.glusterfs": (_always(Reach.ALL), ""),
    "afs": (_always(Reach.UNKNOWN), "take NFS"),
    "vboxsf": (_always(Reach.UNKNOWN), "take NFS"),
    "wekafs": (_always(Reach.UNKNOWN), "ask who runs it"),
    "panfs": (_always(Reach.UNKNOWN), "ask who runs it"),
}
# File systems of the user's own program that show a disk of this host.
ON_DISK = frozenset(
    "fuse.bindfs fuse.cryfs fuse.encfs fuse.exfat fuse.fuse-overlayfs fuse.gocryptfs "
    "fuse.mergerfs fuse.ntfs-3g".split()
)

# Object stores that are shown as folders: they copy and remove where a file is renamed.
OBJECTS = frozenset(
    "fuse.blobfuse fuse.blobfuse2 fuse.gcsfuse fuse.goofys fuse.rclone fuse.s3fs".split()
)


def reach_of(mount: Mount | None) -> Reach:
    """Return who sees the locks on a file system, by its type and options."""
    if mount is None:
        return Reach.UNKNOWN
    if mount.kind in KINDS:
        return KINDS[mount.kind][0](mount.options)
    strange = mount.kind.split(".")[0] == "fuse" and mount.kind not in ON_DISK
    return Reach.UNKNOWN if strange else Reach.DISK


def locks_are_seen(folder: Path) -> bool:
    """Tell whether another process sees a lock that this one holds on a file in a folder."""
    with _trial(folder) as path, path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # such as ENOLCK, ENOSYS
            return False
        command = [sys.executable, "-I", "-S", "-c", _ASK, str(path)]
        asked = subprocess.run(command, capture_output=True, check=False)
        return asked.returncode == 3


# ----------------------------------------------------------------------------- everything else


@dataclass(frozen=True)
class Shared:
    """A folder's file system, as far as it was looked at.

    Attributes:
        reach: Who sees its locks.
        lacks: What is missing, and what follows from it: a sentence or two each.
    """

    reach: Reach
    lacks: tuple[str, ...]


def looked_at(folder: Path) -> Shared:
    """Find out what processes may rely on in a folder: by type and options, and by trying.

    It costs one start of Python without its libraries, some 20 ms, and leaves nothing behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = mount_of(folder)
    reach = reach_of(mount)
    try:
        reach = reach if locks_are_seen(folder) else Reach.NONE
        lacks = [told for trial in (_names, _appends, _room, _clock) if (told := trial(folder))]
    except OSError as error:
        lacks = [f"no file can be written there: {error.strerror or error}."]
    if mount and mount.kind in OBJECTS:
        lacks.append(
            "an object store does not rename at once: a reader may see no file, or half of one. "
            "Take another folder, and copy results there afterwards."
        )
    if reach not in {Reach.DISK, Reach.ALL}:
        lacks.insert(0, _of_locks(reach, mount))
    where = f"{folder} ({mount.kind} at {mount.point})" if mount else str(folder)
    return Shared(reach, tuple(f"{where}: {told}" for told in lacks))


def lacking(*folders: Path) -> list[str]:
    """Return what is missing in those folders that are there, once for each file system."""
    devices: dict[int, Path] = {}
    for folder in folders:
        if folder.is_dir():
            devices.setdefault(folder.stat().st_dev, folder)
    return [told for folder in devices.values() for told in looked_at(folder).lacks]


def _of_locks(reach: Reach, mount: Mount | None) -> str:
    how = {
        Reach.NONE: "file locks are not seen by other processes, even on this host",
        Reach.HOST: "file locks hold within this host alone",
        Reach.UNKNOWN: "file locks may hold within this host alone",
    }[reach]
    remedy = KINDS[mount.kind][1] if mount and mount.kind in KINDS else ""
    return (
        f"{how}. A second process that evaluates here at the same time may repeat work of this "
        "one, which costs time and spoils nothing."
        + (f" To have locks that every host sees: {remedy}." if remedy else "")
    )


@contextmanager
def _trial(folder: Path) -> Iterator[Path]:
    path = folder / f".trial-{uuid.uuid4().hex[:8]}"
    try:
        yield path
    finally:
        for one in (path, path.with_suffix(".new")):
            one.unlink(missing_ok=True)


def _names(folder: Path) -> str | None:
    """Make a name that is there already, and replace it: one fails, the other does not."""
    with _trial(folder) as path:
        new = path.with_suffix(".new")
        path.write_text("old")
        new.write_text("new")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            return "a file can be made a second time (O_EXCL is not heeded); take another folder."
        except FileExistsError:
            pass
        try:
            os.replace(new, path)
            replaced = path.read_text() == "new" and not new.exists()
        except OSError:
            replaced = False
        return None if replaced else "files cannot be replaced by renaming; take another folder."


def _appends(folder: Path) -> str | None:
    with _trial(folder) as path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            one, other = os.open(path, flags), os.open(path, flags)
            try:
                for descriptor, text in ((one, b"a"), (other, b"b"), (one, b"c")):
                    os.write(descriptor, text)
                os.fsync(one)
            finally:
                os.close(one)
                os.close(other)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return f"lines cannot be appended and synced ({error.strerror}); take another folder."
        if path.read_bytes() == b"abc":
            return None
        return "what two append to a file is not kept (O_APPEND); take another folder."


def _room(folder: Path) -> str | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    if found.f_files and found.f_favail < FEW_FILES:  # 0 files: it counts none
        return f"only {found.f_favail} more files can be made (inodes, df -i)."
    return None


def _clock(folder: Path) -> str | None:
    with _trial(folder) as path:
        before = time.time()
        path.touch()
        stamp = path.stat().st_mtime
    apart = max(before - stamp, stamp - time.time())
    if apart <= APART_S:
        return None
    return (
        f"its clock and this host's are {apart:.0f} s apart. No result depends on it, but "
        "Snakemake compares dates of files: set the clocks (NTP)."
    )
