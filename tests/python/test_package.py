"""The wheel is whole, the package is typed, and old Pythons can read it."""
import ast
import base64
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

import support

CLIENT = os.path.join(support.ROOT, "client", "python")


def sources(*folders):
    for folder in folders:
        for name in sorted(os.listdir(os.path.join(CLIENT, folder))):
            if name.endswith(".py"):
                with open(os.path.join(CLIENT, folder, name), encoding="utf-8") as f:
                    yield os.path.join(folder, name), f.read()


class Wheel(unittest.TestCase):
    def build(self, directory):
        done = subprocess.run([sys.executable, os.path.join(CLIENT, "build_wheel.py"), directory], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    def test_its_record_is_true_it_holds_the_package_and_can_be_imported_as_it_is(self):
        with tempfile.TemporaryDirectory() as directory:
            path = self.build(directory)
            self.assertEqual(os.path.dirname(path), directory)
            self.assertRegex(os.path.basename(path), r"^weir-[\d.]+-py3-none-any\.whl$")
            with zipfile.ZipFile(path) as wheel:
                names = wheel.namelist()
                (record,) = [n for n in names if n.endswith("/RECORD")]
                rows = list(csv.reader(wheel.read(record).decode().splitlines()))
                self.assertEqual(sorted(r[0] for r in rows), sorted(names))
                for name, digest, size in rows:
                    if name != record:
                        data = wheel.read(name)
                        self.assertEqual(digest, "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode())
                        self.assertEqual(int(size), len(data))
            modules = {n for n in os.listdir(os.path.join(CLIENT, "weir")) if n.endswith(".py")} | {"py.typed"}
            self.assertEqual({n[5:] for n in names if n.startswith("weir/")}, modules)
            done = subprocess.run([sys.executable, "-I", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import weir; print(weir.__file__)", path],
                                  stdout=subprocess.PIPE, check=True)
            self.assertIn(path, done.stdout.decode())

    def test_the_same_sources_give_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            with open(self.build(a), "rb") as first, open(self.build(b), "rb") as second:
                self.assertEqual(first.read(), second.read())


class Sources(unittest.TestCase):
    def test_python_3_8_can_read_them(self):
        for name, text in sources("weir", "examples", "."):
            ast.parse(text, name, feature_version=(3, 8))
            self.assertIn("from __future__ import annotations", text, name)

    def test_only_the_standard_library_is_imported(self):
        if not hasattr(sys, "stdlib_module_names"):
            self.skipTest("this Python cannot say what its library is")
        for name, text in sources("weir"):
            for node in ast.walk(ast.parse(text)):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(
                    node, ast.ImportFrom) and not node.level else []
                for module in modules:
                    self.assertIn(module.split(".")[0], sys.stdlib_module_names, name)

    def test_every_function_is_annotated(self):
        missing = []
        for name, text in sources("weir"):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    arguments = node.args.args + node.args.kwonlyargs + [a for a in (node.args.vararg, node.args.kwarg) if a]
                    bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
                    if node.returns is None or bare:
                        missing.append("%s:%d %s %s" % (name, node.lineno, node.name, bare))
        self.assertEqual(missing, [])

    def test_what_all_names_is_there(self):
        import weir
        self.assertEqual([n for n in weir.__all__ if not hasattr(weir, n)], [])


if __name__ == "__main__":
    unittest.main()
