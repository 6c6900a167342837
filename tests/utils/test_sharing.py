"""What is missing of a file system is found out before it is relied on, and said once."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from landscape_lib.utils import sharing
from landscape_lib.utils.sharing import Reach, locks_are_seen, looked_at, mount_of, reach_of
from tests.hosts import shim

# Lines as kernels write them.
LOCAL = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
30 27 0:26 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=4038432k,inode64
31 27 8:17 / /srv rw,relatime shared:33 - xfs /dev/sdb1 rw,attr2,inode64,logbufs=8,noquota
32 27 0:41 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u
33 27 0:45 / /media/stick rw,nosuid shared:9 - fuseblk /dev/sdc1 rw,user_id=0,allow_other
"""
NFS4 = (
    "410 27 0:52 / /home rw,relatime shared:210 - nfs4 server:/export/home "
    "rw,vers=4.2,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,timeo=600,retrans=2,"
    "sec=sys,clientaddr=10.0.0.7,local_lock=none,addr=10.0.0.1"
)
NFS3 = (
    "96 27 0:40 / /data rw,relatime shared:50 master:3 - nfs nas:/vol/data "
    "rw,vers=3,rsize=65536,namlen=255,hard,nolock,proto=tcp,sec=sys,mountaddr=10.1.1.1,"
    "mountvers=3,mountproto=tcp,local_lock=all,addr=10.1.1.1"
)
LUSTRE = (
    "55 27 0:44 / /scratch rw,nosuid - lustre 10.10.0.1@o2ib:10.10.0.2@o2ib:/work rw,{}lazystatfs"
)
SSHFS = "77 27 0:60 / /mnt/far rw,nosuid,nodev - fuse.sshfs me@there:/x rw,user_id=0,group_id=0"
WITH = {
    "NFS 4": (NFS4, "/home/me/run", "nfs4", Reach.ALL),
    "NFS 4, flock kept local": (
        NFS4.replace("local_lock=none", "local_lock=flock"),
        "/home",
        "nfs4",
        Reach.HOST,
    ),
    "NFS 4, fcntl kept local": (
        NFS4.replace("local_lock=none", "local_lock=posix"),
        "/home",
        "nfs4",
        Reach.ALL,
    ),
    "NFS 3 without locks": (NFS3, "/data/a", "nfs", Reach.HOST),
    "Lustre with flock": (LUSTRE.format("flock,"), "/scratch/a", "lustre", Reach.ALL),
    "Lustre with localflock": (LUSTRE.format("localflock,"), "/scratch/a", "lustre", Reach.HOST),
    "Lustre without": (LUSTRE.format("user_xattr,"), "/scratch", "lustre", Reach.NONE),
    "GPFS": (
        "60 27 0:46 / /gpfs/fs1 rw,relatime - gpfs fs1 rw,relatime",
        "/gpfs/fs1/u",
        "gpfs",
        Reach.ALL,
    ),
    "CIFS": (
        "61 27 0:47 / /win rw - cifs //nt/share rw,vers=3.1.1,cache=strict,username=a,soft",
        "/win",
        "cifs",
        Reach.UNKNOWN,
    ),
    "CIFS without locks": (
        "61 27 0:47 / /win rw - cifs //nt/share rw,vers=3.1.1,nobrl,soft",
        "/win",
        "cifs",
        Reach.HOST,
    ),
    "sshfs": (SSHFS, "/mnt/far/run", "fuse.sshfs", Reach.HOST),
    "9p": (
        "62 27 0:48 / /shared rw,sync - 9p hostshare rw,access=client,trans=virtio",
        "/shared",
        "9p",
        Reach.UNKNOWN,
    ),
    "virtiofs": ("63 27 0:49 / /v rw - virtiofs tag rw", "/v/x", "virtiofs", Reach.UNKNOWN),
    "BeeGFS": (
        "64 27 0:50 / /bee rw,relatime - beegfs beegfs_nodev rw,cfgFile=/etc/beegfs/client.conf",
        "/bee/a",
        "beegfs",
        Reach.UNKNOWN,
    ),
    "Ceph": (
        "65 27 0:51 / /ceph rw - ceph 1.1.1.1:6789:/ rw,name=me,secret=<hidden>,acl",
        "/ceph/a",
        "ceph",
        Reach.ALL,
    ),
    "GFS2": (
        "66 27 253:3 / /g rw - gfs2 /dev/mapper/g rw,localflocks,hostdata=jid=0",
        "/g",
        "gfs2",
        Reach.HOST,
    ),
    "a program that nobody knows": (
        "67 27 0:53 / /bucket rw - fuse.strange strange rw,user_id=0",
        "/bucket",
        "fuse.strange",
        Reach.UNKNOWN,
    ),
    "a program without a name": (
        "67 27 0:53 / /s3 rw - fuse mountpoint-s3 rw,user_id=0",
        "/s3",
        "fuse",
        Reach.UNKNOWN,
    ),
    "SELinux quotes commas": (
        '68 27 0:54 / /q rw - nfs4 s:/q rw,context="system_u:object_r:nfs_t:s0:c1,local_lock=all",'
        "local_lock=none",
        "/q",
        "nfs4",
        Reach.ALL,
    ),
    "a disk": (LOCAL, "/home", "ext4", Reach.DISK),
    "another disk": (LOCAL, "/srv/a", "xfs", Reach.DISK),
    "a name that begins alike": (LOCAL, "/srvx/a", "ext4", Reach.DISK),
    "a container's": (LOCAL, "/var/lib/docker/overlay2/x/merged/w", "overlay", Reach.DISK),
    "a stick": (LOCAL, "/media/stick", "fuseblk", Reach.DISK),
}


@pytest.mark.parametrize(("line", "folder", "kind", "reach"), WITH.values(), ids=WITH)
def test_who_sees_a_lock_is_read_off_the_mount(line, folder, kind, reach):
    mount = mount_of(Path(folder), f"{LOCAL}{line}\n")
    assert (mount.kind, reach_of(mount)) == (kind, reach)


def test_the_nearest_and_the_last_mount_counts_and_spaces_are_spelt():
    over = NFS4.replace("/home ", "/home/with\\040space ")
    table = f"{LOCAL}{NFS3.replace('/data ', '/home ')}\n{NFS4}\n{over}\nnonsense\n- - -\n"
    assert mount_of(Path("/home/me"), table).kind == "nfs4"  # mounted over the other
    assert mount_of(Path("/home/with space/me"), table).point == "/home/with space"
    assert mount_of(Path("/home/with"), table).point == "/home"
    assert mount_of(Path("/home"), "") is None


def test_a_link_is_followed_to_where_the_folder_lies(tmp_path):
    (tmp_path / "link").symlink_to("/home/me")
    assert mount_of(tmp_path / "link/run", f"{LOCAL}{NFS4}\n").kind == "nfs4"


def test_of_a_local_disk_nothing_is_said_and_nothing_is_left(tmp_path):
    assert looked_at(tmp_path / "new") == sharing.Shared(Reach.DISK, ())
    assert list((tmp_path / "new").iterdir()) == []


def mounted(monkeypatch, tmp_path, line):
    table = tmp_path / "mountinfo"
    table.write_text(f"{LOCAL}{line}\n")
    monkeypatch.setattr(sharing, "MOUNTS", table)


def test_locks_of_one_host_are_told_in_one_line_with_what_follows_and_the_remedy(
    tmp_path, monkeypatch
):
    mounted(monkeypatch, tmp_path, SSHFS.replace("/mnt/far", str(tmp_path)))
    found = looked_at(tmp_path / "run")
    assert found.reach is Reach.HOST
    assert found.lacks == (
        f"{tmp_path}/run (fuse.sshfs at {tmp_path}): file locks hold within this host alone. A "
        "second process that evaluates here at the same time may repeat work of this one, which "
        "costs time and spoils nothing. To have locks that every host sees: sshfs has none; take "
        "NFS.",
    )


def test_of_an_object_store_it_is_said_that_files_are_not_whole_there(tmp_path, monkeypatch):
    mounted(monkeypatch, tmp_path, f"9 1 0:9 / {tmp_path} rw - fuse.s3fs s3fs rw,user_id=0")
    locks, names = looked_at(tmp_path / "run").lacks
    assert "file locks may hold within this host alone" in locks
    assert "an object store does not rename at once" in names


def test_of_a_network_with_locks_nothing_is_said(tmp_path, monkeypatch):
    mounted(monkeypatch, tmp_path, NFS4.replace("/home", str(tmp_path)))
    assert looked_at(tmp_path / "run") == sharing.Shared(Reach.ALL, ())


def test_each_file_system_is_told_of_once(tmp_path, monkeypatch):
    mounted(monkeypatch, tmp_path, SSHFS.replace("/mnt/far", str(tmp_path)))
    (tmp_path / "results").mkdir()
    (told,) = sharing.lacking(tmp_path, tmp_path / "results", tmp_path / "none")
    assert told.startswith(f"{tmp_path} (fuse.sshfs at {tmp_path}): file locks hold within")
    assert not (tmp_path / "none").exists()


def test_another_process_sees_a_lock(tmp_path):
    assert locks_are_seen(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("how", "errno"), [("always granted", 0), ("ENOLCK", 37), ("ENOSYS", 38)])
def test_locks_that_do_nothing_are_found_out(tmp_path, how, errno):
    """flock itself is replaced, in both processes, under Python."""
    program = (
        "from pathlib import Path; from landscape_lib.utils.sharing import looked_at; import sys\n"
        "found = looked_at(Path(sys.argv[1])); print(found.reach.name, *found.lacks, sep='|')"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")],
        env={**os.environ, "LD_PRELOAD": str(shim(tmp_path)), "FLOCK_ERRNO": str(errno)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.startswith("NONE|")
    assert "file locks are not seen by other processes, even on this host" in told


def test_what_else_does_not_hold_is_named(tmp_path, monkeypatch):
    def no_rename(source, target):
        raise OSError(1, "Operation not permitted")

    opened = os.open

    def heedless(path, flags, *rest):
        return opened(path, flags & ~(os.O_EXCL | os.O_APPEND), *rest)

    monkeypatch.setattr(os, "replace", no_rename)
    assert "files cannot be replaced by renaming" in "".join(looked_at(tmp_path).lacks)
    monkeypatch.setattr(os, "open", heedless)
    exclusive, appending = looked_at(tmp_path).lacks
    assert "O_EXCL is not heeded" in exclusive
    assert "O_APPEND" in appending


def test_few_files_and_a_clock_that_is_apart_are_named(tmp_path, monkeypatch):
    real, real_time = os.statvfs(tmp_path), sharing.time.time
    few = list(real)
    few[5:8] = 1000, 7, 7
    monkeypatch.setattr(os, "statvfs", lambda folder: os.statvfs_result(few))
    monkeypatch.setattr(sharing.time, "time", lambda: real_time() + 300)
    room, clock = looked_at(tmp_path).lacks
    assert "only 7 more files can be made" in room
    assert "are 300 s apart" in clock


def test_where_nothing_can_be_written_that_is_said(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fcntl, "flock", lambda handle, how: None)
    monkeypatch.setattr(Path, "write_text", full)
    assert "no file can be written there: No space left" in "".join(looked_at(tmp_path).lacks)
