"""Certificates for tests, made with the openssl command line in a temporary directory."""
import os
import subprocess


def run(*arguments, **options):
    done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    assert done.returncode == 0, "openssl %s: %s" % (" ".join(arguments), done.stdout.decode(errors="replace"))


class Issuer:
    """A certificate authority of its own: issuer.ca is its file, issue() makes certificates."""

    def __init__(self, directory, name="issuer"):
        self.directory, self.name = directory, name
        self.ca, self.key = self.path(name + ".pem"), self.path(name + ".key")
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=" + name, "-keyout", self.key, "-out", self.ca)

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, alternative="DNS:localhost,IP:127.0.0.1", days=30, expired=False):
        """(certificate, key) as file names."""
        cert, key, request, extensions = (self.path(name + x) for x in (".pem", ".key", ".csr", ".ext"))
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
            "-keyout", key, "-out", request)
        with open(extensions, "w", encoding="ascii") as f:
            f.write("subjectAltName=%s\n" % alternative)
        life = ["-days", str(days)]
        if expired:  # x509 has no start date in OpenSSL 3.0, `ca` has
            return self._issue_expired(cert, key, request, extensions)
        run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", *life,
            "-extfile", extensions, "-out", cert)
        return cert, key

    def _issue_expired(self, cert, key, request, extensions):
        database, settings = self.path("ca.index"), self.path("ca.conf")
        open(database, "w", encoding="ascii").close()
        with open(self.path("ca.serial"), "w", encoding="ascii") as f:
            f.write("1000\n")
        with open(settings, "w", encoding="ascii") as f:
            f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n"
                    "unique_subject=no\n[p]\ncommonName=supplied\n" % (database, self.path("ca.serial"), self.directory))
        run("ca", "-batch", "-config", settings, "-in", request, "-cert", self.ca, "-keyfile", self.key, "-notext",
            "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", extensions, "-out", cert)
        return cert, key
