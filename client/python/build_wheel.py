"""Builds the wheel with nothing but Python: no pip, no network. A pure wheel is a zip (PEP 427).

    python3 client/python/build_wheel.py [DIRECTORY]       # default: build/wheel; prints the file's path

It is also the build backend of pyproject.toml (PEP 517), so `pip install client/python` needs no network either. The
same sources give the same bytes.
"""
from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tarfile
import zipfile
from typing import Any, Dict, List, Optional, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
TAG = "py3-none-any"
SUMMARY = "Client of the weir observability agent: traces, logs, metrics and monitoring, standard library only"
DATE = (1980, 1, 1, 0, 0, 0)


def _read(name: str) -> bytes:
    with open(os.path.join(HERE, name), "rb") as f:
        return f.read()


def version() -> str:
    found = re.search(rb'^__version__ = "([^"]+)"$', _read("weir/__init__.py"), re.M)
    assert found, "weir/__init__.py says no __version__"
    return found.group(1).decode()


def package_files() -> Dict[str, bytes]:
    names = sorted(n for n in os.listdir(os.path.join(HERE, "weir")) if n.endswith(".py") or n == "py.typed")
    return {"weir/" + n: _read("weir/" + n) for n in names}


def metadata() -> bytes:
    return ("Metadata-Version: 2.1\nName: weir\nVersion: %s\nSummary: %s\nRequires-Python: >=3.8\n"
            "Classifier: Typing :: Typed\n" % (version(), SUMMARY)).encode()


def build_wheel(wheel_directory: str, config_settings: Optional[Dict[str, Any]] = None,
                metadata_directory: Optional[str] = None) -> str:
    """PEP 517. Returns the file's name."""
    info = "weir-%s.dist-info/" % version()
    files = package_files()
    files[info + "METADATA"] = metadata()
    files[info + "WHEEL"] = ("Wheel-Version: 1.0\nGenerator: weir build_wheel\nRoot-Is-Purelib: true\nTag: %s\n" % TAG).encode()
    record = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append("%s,sha256=%s,%d" % (name, digest, len(data)))
    files[info + "RECORD"] = ("\n".join(record + [info + "RECORD,,"]) + "\n").encode()
    name = "weir-%s-%s.whl" % (version(), TAG)
    os.makedirs(wheel_directory, exist_ok=True)
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def build_sdist(sdist_directory: str, config_settings: Optional[Dict[str, Any]] = None) -> str:
    """PEP 517. Returns the file's name."""
    base = "weir-" + version()
    files: List[Tuple[str, bytes]] = [("PKG-INFO", metadata())]
    files += [(n, _read(n)) for n in ("pyproject.toml", "build_wheel.py")] + list(package_files().items())
    with tarfile.open(os.path.join(sdist_directory, base + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(base + "/" + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return base + ".tar.gz"


if __name__ == "__main__":
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "build", "wheel")
    print(os.path.normpath(os.path.join(directory, build_wheel(directory))))
