"""Rules that matter, as tests (style.md, habit 6). Reads the sources; runs only `weir check`."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import BINARY, ROOT

# architecture.md section 2: what each module may include of the others.
MAY_INCLUDE = {
    "core": set(),
    "decode": {"core"},
    "process": {"core", "decode"},
    "journal": {"core"},
    "config": {"core", "decode", "process"},
    "sinks": {"core", "decode", "process", "journal", "net"},
    "pipeline": {"core", "decode", "process", "journal"},
    "net": {"core"},
    "ring": {"core"},
    "ingest": {"core", "net", "ring"},
    "app": {"core", "decode", "process", "journal", "config", "sinks", "pipeline", "ring", "ingest", "net", "web"},
    "cli": {"core", "decode", "process", "journal", "config", "sinks", "pipeline", "ring", "ingest", "net", "web", "app"},
    "web": {"core", "net"},
}
# library header -> the modules that may know it
LIBRARIES = {
    r"<(boost/(asio|beast)|boost/asio\.hpp)": {"net", "ingest", "app", "cli", "web"},
    r"<openssl/ssl\.h>": {"net"},
    r"<yaml-cpp/": {"config"},
    r"<nlohmann/": {"journal", "config", "ingest", "app", "cli", "web"},
    r"<spdlog/": {"core"},  # core/log.cpp alone, see below
    r"<CLI/": {"cli"},
    r"<re2/": {"process"},
    r"<(thread|condition_variable|future)>": {"net", "journal", "sinks", "ingest", "app", "cli", "web"},
    r"<mutex>": {"core", "net", "journal", "sinks", "ingest", "app", "cli", "web"},  # core: the log and the quarantine
}
LINES_MAX = 500


def tracked(*patterns):
    names = []
    if shutil.which("git"):
        done = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "--", *patterns], stdout=subprocess.PIPE, check=False)
        names = done.stdout.decode().split("\n")[:-1]
    if not names:  # no git here: as it would match, where `*` goes on across folders
        everything = (os.path.relpath(os.path.join(top, name), ROOT) for top, _, files in os.walk(ROOT) for name in files)
        names = [n for n in everything if not n.startswith(("build", ".git/")) and any(fnmatch.fnmatch(n, x) for x in patterns)]
    return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """C++ with comments and string contents blanked, line numbers kept."""
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)


def balanced(text, start):
    """The text from the opening bracket at `start` to its match."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i + 1]
    return text[start:]


CAPTURE = re.compile(r"(?<![\w\])])\[[^\]\[]+\]\s*(\(|\{|mutable|noexcept|->)")


class Sources(unittest.TestCase):
    def test_includes_point_left_or_up_only(self):
        wrong = []
        for name in tracked("agent/*.h", "agent/*.cpp"):
            module = name.split("/")[1] if name.count("/") > 1 else "main"
            allowed = MAY_INCLUDE.get(module, set(MAY_INCLUDE)) | {module}
            for included in re.findall(r'^\s*#\s*include\s+"agent/(\w+)/', read(name), re.M):
                if included not in allowed:
                    wrong.append("%s includes agent/%s" % (name, included))
            for included in re.findall(r'^\s*#\s*include\s+"((?!agent/|proto/)[^"]+)"', read(name), re.M):
                wrong.append('%s includes "%s": includes start at the root' % (name, included))
        self.assertEqual(wrong, [])

    def test_each_library_is_known_where_it_belongs(self):
        wrong = []
        for name in tracked("agent/*.h", "agent/*.cpp"):
            module = name.split("/")[1] if name.count("/") > 1 else "main"
            for header in re.findall(r"^\s*#\s*include\s+(<[^>]+>)", read(name), re.M):
                for pattern, modules in LIBRARIES.items():
                    if re.match(pattern, header) and module not in modules:
                        wrong.append("%s includes %s" % (name, header))
        self.assertEqual(wrong, [])

    def test_no_capturing_lambda_in_a_coroutine_start(self):
        """g++ 12 destroys the captures twice (toolchain.md section 6): coroutines are named functions."""
        wrong = []
        for name in tracked("*.h", "*.cpp"):
            text = without_comments(read(name))
            for match in re.finditer(r"\bco_spawn\s*(\()", text):
                if CAPTURE.search(balanced(text, match.start(1))):
                    wrong.append("%s:%d: co_spawn with a capturing lambda" % (name, text.count("\n", 0, match.start()) + 1))
            for match in re.finditer(r"\bco_await\b[^;]*;", text):
                if CAPTURE.search(match.group(0)):
                    wrong.append("%s:%d: a capturing lambda inside co_await" % (name, text.count("\n", 0, match.start()) + 1))
        self.assertEqual(wrong, [])

    def test_tests_wait_for_conditions_never_for_time(self):
        words = ["sleep_" + "for", "sleep_" + "until", "time." + "sleep", "u" + "sleep("]
        wrong = ["%s: %s" % (name, word) for name in tracked("tests/*.cpp", "tests/*.h", "tests/*.py") for word in words if word in read(name)]
        self.assertEqual(wrong, [])

    def test_files_stay_readable(self):
        long = [(name, read(name).count("\n")) for name in tracked("*.cpp", "*.h", "*.py", "dev")]
        self.assertEqual([x for x in long if x[1] > LINES_MAX], [])

    def test_a_name_means_one_type(self):
        """Two types of one name link without a word, and each is destroyed as the other."""
        seen, twice = {}, []
        for name in tracked("agent/*.h"):
            space = ""
            for match in re.finditer(r"^(?:namespace ([\w:]+) \{|(?:struct|class) (\w+)(?: final)?(?: :[^;{]*)? \{)", without_comments(read(name)), re.M):
                space = match.group(1) or space
                if match.group(2) and seen.setdefault((space, match.group(2)), name) != name:
                    twice.append("%s::%s: %s and %s" % (space, match.group(2), seen[space, match.group(2)], name))
        self.assertGreater(len(seen), 100)
        self.assertEqual(twice, [])

    def test_the_log_library_is_known_to_one_file(self):
        self.assertEqual([n for n in tracked("agent/*.h", "agent/*.cpp") if "#include <spdlog/" in read(n)], ["agent/core/log.cpp"])

    def test_every_library_test_file_is_listed_by_a_module(self):
        modules = set(os.listdir(os.path.join(ROOT, "agent")))
        self.assertEqual([n for n in tracked("tests/unit/*.cpp") if n.split("/")[2] not in modules], [])


class Documents(unittest.TestCase):
    def test_links_between_files_lead_somewhere(self):
        wrong = []
        for name in tracked("*.md"):
            text = re.sub(r"```.*?```", "", read(name), flags=re.S)
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if not re.match(r"\w+:", target) and not os.path.exists(os.path.join(ROOT, os.path.dirname(name), target)):
                    wrong.append("%s: %s" % (name, target))
        self.assertEqual(wrong, [])

    def test_paths_the_readme_names_exist(self):
        named = set(re.findall(r"`((?:agent|bench|config|docs|tests|client|proto|systemd)/[\w./-]*)`", read("README.md")))
        self.assertTrue(named)
        self.assertEqual([n for n in sorted(named) if not os.path.exists(os.path.join(ROOT, n))], [])


@unittest.skipUnless(os.access(BINARY, os.X_OK), "no binary at " + BINARY)
class Configuration(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="weir-tidy-")
        self.addCleanup(self.dir.cleanup)

    def environment_for(self, text):
        """Every variable, file and credential that a configuration text asks for."""
        env = dict(os.environ, WEIR_SOCKET=os.path.join(self.dir.name, "weir.sock"), CREDENTIALS_DIRECTORY=self.dir.name)
        for name in re.findall(r"(?<!\$)\$\{(?:env:)?([A-Z_]\w*)\}", text):
            env.setdefault(name, os.path.join(self.dir.name, name.lower()))
        for name in re.findall(r"\$\{cred:([^}]+)\}", text):
            with open(os.path.join(self.dir.name, name), "w") as f:
                f.write("secret")
        return env

    def check(self, *args, env=None):
        return subprocess.run([BINARY, "check", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=self.dir.name)

    def test_every_configuration_we_ship_passes_the_check(self):
        files = tracked("config/*.yaml")
        self.assertTrue(files)
        for name in files:
            with self.subTest(name):
                done = self.check(os.path.join(ROOT, name), env=self.environment_for(read(name)))
                self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_the_reference_is_fresh(self):
        done = self.check("--reference")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(read("config/REFERENCE.md"), done.stdout.decode(), "run: weir check --reference > config/REFERENCE.md")

    def test_configurations_in_the_readme_pass_the_check(self):
        blocks = re.findall(r"```yaml\n(.*?)```", read("README.md"), re.S)
        self.assertTrue(blocks)
        for number, block in enumerate(blocks):
            with self.subTest(number=number):
                path = os.path.join(self.dir.name, "readme.yaml")
                with open(path, "w") as f:
                    f.write(block)
                done = self.check(path, env=self.environment_for(block))
                self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
