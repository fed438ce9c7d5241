"""What the Dockerfile promises, without docker: its file tree, made by the script it runs, as the read-only root of
process 1 of a namespace, with the user, environment, volumes and commands that it names. Needs root."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import log, wait_for

with open(os.path.join(harness.ROOT, "Dockerfile"), encoding="utf-8") as f:
    TEXT = f.read()
FINAL = TEXT[TEXT.rindex("\nFROM "):]
RUNS_HERE = os.getuid() == 0 and not harness.SANITIZED and shutil.which("unshare") and shutil.which("strip") and \
    subprocess.run(["unshare", "--pid", "--mount", "--fork", "true"], stderr=subprocess.DEVNULL).returncode == 0
STOP_S = 2

# As a container runtime does it: $1 tree, $2 user, $3 working directory, $4... volumes up to "--", then the program.
START = """set -eu
tree=$1 user=$2 cwd=$3; shift 3
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
while [ "$1" != -- ]; do
  mount -t tmpfs -o "$1" tmpfs "$tree$2"; shift 2
done; shift
mount -o remount,bind,ro "$tree"
exec setpriv --no-new-privs unshare --root="$tree" --wd="$cwd" --setuid="${user%:*}" --setgid="${user#*:}" "$@"
"""


def word(name):
    """The argument of an instruction of the final stage."""
    return re.search(r"(?m)^%s (.*)$" % name, FINAL).group(1)


def command(name):
    return json.loads(re.search(r"(?m)^%s .*?(\[.*\])$" % name, FINAL).group(1))


@unittest.skipUnless(RUNS_HERE, "needs root, namespaces and a plain build")
class Container(harness.AgentTest):
    @classmethod
    def setUpClass(cls):
        cls.image = tempfile.mkdtemp(prefix="weir-image-")
        cls.addClassCleanup(shutil.rmtree, cls.image)
        done = subprocess.run([os.path.join(harness.ROOT, "container", "image-tree"), harness.BINARY, cls.image], stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr.decode()

    def setUp(self):
        super().setUp()
        self.tree = self.path("root")
        for chown, part in re.findall(r"(?m)^COPY --from=build(?: --chown=(\S+))? /image/(\w+) /$", FINAL):
            copy = self.path(part + ".copy")
            subprocess.run(["cp", "-a", os.path.join(self.image, part), copy], check=True)
            subprocess.run(["chown", "-R", chown or "0:0", copy], check=True)
            subprocess.run(["cp", "-a", copy + "/.", self.tree + "/"] if os.path.isdir(self.tree) else ["mv", copy, self.tree], check=True)
        self.environment = dict(pair.split("=", 1) for pair in word("ENV").split())
        self.proc = None
        self.addCleanup(self.clean)

    def clean(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        if self.proc:
            self.proc.stdout.close()
            self.proc.stderr.close()

    def run_image(self, environment=None, arguments=None, volumes=True):
        """`docker run --read-only --cap-drop=ALL --network=none`."""
        mounts = []
        for place in command("VOLUME") if volumes else []:
            owned = os.stat(self.tree + place)  # a new volume takes the rights of what it covers
            mounts += ["mode=%o,uid=%d,gid=%d" % (owned.st_mode & 0o777, owned.st_uid, owned.st_gid), place]
        argv = ["unshare", "--pid", "--mount", "--net", "--ipc", "--fork", "--kill-child", "sh", "-c", START, "sh", self.tree, word("USER"),
                word("WORKDIR"), *mounts, "--", *command("ENTRYPOINT"), *(arguments or command("CMD"))]
        env = dict(self.environment if environment is None else environment, PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)

    def agent_pid(self):
        """Process 1 of the namespace, once it is the agent, as it is seen from here."""
        def find():
            self.assertIsNone(self.proc.poll(), "it ended")
            try:
                with open("/proc/%d/task/%d/children" % (self.proc.pid, self.proc.pid)) as f:
                    pid = int(f.read().split()[0])
                return pid if os.readlink("/proc/%d/exe" % pid).endswith("/usr/bin/weir") else None
            except (OSError, IndexError):
                return None
        return wait_for(find, "the agent runs")

    def status_of(self, pid):
        with open("/proc/%d/status" % pid) as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def wait_ready(self):
        line = self.proc.stderr.readline().decode()
        self.assertIn("weir: ready pid=1 unix:/run/weir/weir.sock", line)

    def stop(self, pid):
        """SIGTERM: (seconds it took, exit code)."""
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        code = self.proc.wait(harness.DEADLINE_S)
        return time.monotonic() - began, code

    def test_it_runs_as_process_1_with_nothing_but_its_volumes(self):
        self.run_image()
        pid = self.agent_pid()
        self.wait_ready()
        status = self.status_of(pid)
        self.assertEqual((status["Uid"].split()[1], status["Gid"].split()[1], status["Groups"].strip()), ("65532", "65532", ""))
        self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NSpid"].split()[-1]), (0, 0, "1"))
        with open("/proc/%d/mountinfo" % pid) as f:
            root = next(line.split() for line in f if line.split()[4] == "/")
        self.assertIn("ro", root[5].split(","))

        sock = socket.socket(socket.AF_UNIX)
        sock.connect("/proc/%d/root/run/weir/weir.sock" % pid)
        with harness.Connection(sock) as c:
            c.send([log("from outside"), "not json"])
            c.finish_plain()
        self.assertEqual(self.proc.stdout.readline().decode(), log("from outside") + "\n", "logging to stdout")
        quarantine = "/proc/%d/root/var/lib/weir/quarantine/rejected.jsonl" % pid
        wait_for(lambda: os.path.exists(quarantine), "the data directory is the volume")

        took, code = self.stop(pid)
        self.assertEqual(code, 0, self.proc.stderr.read())
        self.assertLess(took, STOP_S)

    def test_issuers_are_where_openssl_looks_for_them(self):
        """OPENSSLDIR is built into the library; without the file an https sink would trust nobody."""
        self.run_image()
        pid = self.agent_pid()
        self.wait_ready()
        place = subprocess.run(["openssl", "version", "-d"], stdout=subprocess.PIPE, check=True).stdout.decode().split('"')[1]
        link = self.tree + place + "/cert.pem"
        target = self.tree + os.readlink(link)
        with open(target, encoding="utf-8") as f:
            self.assertIn("BEGIN CERTIFICATE", f.read())
        self.stop(pid)

    def test_the_health_check_tells_a_healthy_one_from_one_that_hangs(self):
        self.run_image()
        pid = self.agent_pid()
        self.wait_ready()
        check = ["nsenter", "--target", str(pid), "--pid", "--mount", "--net", "--ipc", "--root", "--wd", "--setuid", "65532", "--setgid", "65532",
                 *command("HEALTHCHECK")]
        done = subprocess.run(check, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        status = json.loads(done.stdout)
        self.assertEqual((status["pid"], status["sandbox"]["no_new_privs"]), (1, True))
        broken = dict(self.environment, WEIR_SOCKET="/run/weir/other/weir.sock")
        self.assertEqual(subprocess.run(check, env=broken, stderr=subprocess.DEVNULL).returncode, 69)
        self.assertEqual(self.stop(pid)[1], 0)

    def test_a_signal_that_comes_before_it_is_ready_is_not_lost(self):
        config = os.path.join(self.tree, "etc/weir/weir.yaml")
        os.mkfifo(config, 0o644)
        self.run_image()
        pid = self.agent_pid()
        with open(config, "w") as f:  # opens when the agent does, which now waits for its configuration
            held = int(self.status_of(pid)["SigBlk"], 16)
            self.assertTrue(held & 1 << (signal.SIGTERM - 1), "no handler yet, so it must wait: the kernel forgets it for process 1")
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            f.write("streams: {}\n")
        self.assertEqual(self.proc.wait(harness.DEADLINE_S), 0)
        self.assertLess(time.monotonic() - began, STOP_S)

    def test_orphans_leave_no_zombies(self):
        self.run_image()
        pid = self.agent_pid()
        self.wait_ready()

        def children():
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                return f.read().split()
        # A shell of this machine in the agent's process namespace leaves a child, which falls to process 1.
        read, write = os.pipe()
        left = ["nsenter", "--target", str(pid), "--pid", "sh", "-c", "read x <&%d >&- 2>&- &" % read]
        self.assertEqual(subprocess.run(left, pass_fds=[read]).returncode, 0)
        os.close(read)
        self.assertEqual(len(children()), 1)
        os.close(write)
        wait_for(lambda: children() == [], "the kernel takes the orphan")
        self.assertEqual(self.stop(pid)[1], 0)

    def test_a_configuration_is_mounted(self):
        config = os.path.join(self.tree, "etc/weir/weir.yaml")
        with open(config, "w") as f:
            f.write("streams: {log: {sinks: [out]}}\nsinks: {out: {type: jsonl, path: logs/out.jsonl}}\n")
        os.chmod(config, 0o644)
        self.run_image()
        pid = self.agent_pid()
        self.wait_ready()
        sock = socket.socket(socket.AF_UNIX)
        sock.connect("/proc/%d/root/run/weir/weir.sock" % pid)
        with harness.Connection(sock) as c:
            c.send([log("to the volume")])
            c.finish_plain()
        path = "/proc/%d/root/var/lib/weir/logs/out.jsonl" % pid

        def written():
            try:
                with open(path) as f:
                    return f.read()
            except FileNotFoundError:
                return ""
        self.assertEqual(wait_for(written, "the record"), log("to the volume") + "\n", "relative paths are in the volume")
        self.assertEqual(self.stop(pid)[1], 0)

    def test_without_places_it_says_what_to_set(self):
        self.run_image(environment={})
        _, said = self.proc.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(self.proc.returncode, 78)
        self.assertIn(b"set $WEIR_SOCKET", said)
        self.assertIn(b"set data_dir or $XDG_STATE_HOME", said)

    def test_without_volumes_it_says_what_cannot_be_written(self):
        self.run_image(volumes=False)
        _, said = self.proc.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(self.proc.returncode, 1)
        self.assertIn(b"/run/weir/weir.sock", said)


class Files(unittest.TestCase):
    def test_the_list_of_packages_is_that_of_dev(self):
        self.assertNotIn("apt-get", TEXT)
        self.assertRegex(TEXT, r"(?m)^RUN \./dev build ")

    def test_what_the_build_reads_is_in_the_context(self):
        with open(os.path.join(harness.ROOT, ".dockerignore")) as f:
            kept = re.findall(r"(?m)^!(\S+)$", f.read())
        with open(os.path.join(harness.ROOT, "CMakeLists.txt")) as f:
            read = set(re.findall(r"\$\{CMAKE_SOURCE_DIR\}/(\w+)|add_subdirectory\((\w+)\)|file\(GLOB \w+ CONFIGURE_DEPENDS (\w+)/", f.read()))
        for name in [n for names in read for n in names if n] + ["dev", "container", "CMakeLists.txt", "CMakePresets.json"]:
            self.assertIn(name, kept)


if __name__ == "__main__":
    unittest.main(verbosity=2)
