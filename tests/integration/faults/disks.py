"""Disks to break: a small tmpfs to fill, and a file system whose power can be cut. Both need root; without it a test is skipped.

The cut: ext4 on a loop device whose backing file is in memory (memfd). Sealing that file against writes is the cut: from one
moment on the device takes nothing more, as if it had been pulled out. What the file system had not handed to the device by
then (the page cache) is gone; a copy of the sealed file is what the next boot finds. That is exact, while a copy of a file that
is still being written to would be a picture of no moment at all.
"""
import contextlib
import fcntl
import os
import shutil
import subprocess
import unittest
import uuid

import harness

F_ADD_SEALS, F_SEAL_FUTURE_WRITE = 1033, 0x10
PIECE = 1 << 20


def run(*argv, pass_fds=()):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds, check=False)


def must(*argv, pass_fds=()):
    done = run(*argv, pass_fds=pass_fds)
    if done.returncode != 0:
        raise unittest.SkipTest("not possible here: %s: %s" % (" ".join(argv), done.stderr.decode().strip()))
    return done.stdout.decode().strip()


class FaultTest(harness.AgentTest):
    """Unmounts when its agents are gone."""

    def setUp(self):
        self.disks = []
        super().setUp()

    def _cleanup(self):
        try:
            super()._cleanup()
        finally:
            for disk in reversed(self.disks):
                disk.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")

    def forget(self, agent):
        """It was killed on purpose."""
        agent.stopped = True
        agent.kill()
        self.agents.remove(agent)
        self.stderr_texts.append(agent.stderr())


class Tmpfs:
    """A file system of `kib` KiB at test.path(name)."""

    def __init__(self, test, name, kib):
        test.need_root()
        self.path = test.path(name)
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        must("mount", "-t", "tmpfs", "-o", "size=%dk,mode=0700" % kib, "tmpfs", self.path)
        test.disks.append(self)
        self.filler = os.path.join(self.path, "filler")

    def free_bytes(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, leave=0):
        """Takes all space but `leave` bytes; again when something was freed meanwhile."""
        with open(self.filler, "ab", buffering=0) as f:
            for piece in (1 << 20, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while self.free_bytes() - leave >= piece or (leave == 0 and piece < 4096):
                        f.write(bytes(piece))

    def release(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.filler)

    def close(self):
        run("umount", "-l", self.path)


class CutDisk:
    """ext4 at test.path(name), until cut()."""

    def __init__(self, test, name="disk", mib=96):
        test.need_root()
        self.test, self.path, self.mib = test, test.path(name), mib
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self.fd = self.loop = None
        test.disks.append(self)
        self.fd = os.memfd_create("weir-disk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, mib << 20)
        must("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", self._file(), pass_fds=[self.fd])
        self._mount()

    def _file(self):
        return "/proc/%d/fd/%d" % (os.getpid(), self.fd)

    def _mount(self):
        self.loop = must("losetup", "--find", "--show", self._file())
        must("mount", "-t", "ext4", self.loop, self.path)

    def cut(self):
        """The power goes, now. What runs on it fails from here on; call boot() when it has been killed."""
        fcntl.fcntl(self.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)

    def boot(self):
        """Mounts what the device held at the moment of the cut. Returns a boot id that no boot had before."""
        old, self.fd = self.fd, os.memfd_create("weir-disk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self.mib << 20)
        at = 0
        while at < self.mib << 20:
            data_at = _next_data(old, at)
            if data_at is None:
                break
            piece = os.pread(old, PIECE, data_at)
            os.pwrite(self.fd, piece, data_at)
            at = data_at + len(piece)
        self._unmount()
        os.close(old)
        self._mount()
        return str(uuid.uuid4())

    def _unmount(self):
        if self.loop:
            if run("umount", self.path).returncode != 0:
                run("umount", "-l", self.path)
            run("losetup", "-d", self.loop)
            self.loop = None

    def close(self):
        self._unmount()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def _next_data(fd, at):
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        return None
