#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

TEST_CASE("each form of substitution puts in its value") {
  Workspace w;
  w.set("W_DIR", "/data");
  w.set("W_EMPTY", "");
  w.set("W_NONE", std::nullopt);
  w.set("CREDENTIALS_DIRECTORY", w.root() + "/cred");
  w.file("cred/name", "secret\n");
  const std::string path = w.file("value", "from file\n\n");
  const auto put = [&](const std::string& text) {
    return w.good("listen: {u: {type: unix, path: /s, owner: \"" + text + "\"}}")
        .listen[0]
        .settings.text("owner");
  };
  CHECK(put("${W_DIR}/x") == "/data/x");
  CHECK(put("${env:W_DIR}${W_DIR}") == "/data/data");
  CHECK(put("a${W_EMPTY}b") == "ab");
  CHECK(put("${W_NONE:-none}") == "none");
  CHECK(put("${W_EMPTY:-none}") == "none");
  CHECK(put("${env:W_NONE:-}x") == "x");
  CHECK(put("${W_NONE:-${W_DIR}/y}") == "/data/y");
  CHECK(put("${file:" + path + "}") == "from file\n");
  CHECK(put("${cred:name}") == "secret");
  CHECK(put("$$ $${W_DIR} $x 5$") == "$ ${W_DIR} $x 5$");
}

TEST_CASE("a substituted value is one value, never YAML, and never substituted again") {
  Workspace w;
  w.set("W_TRICK", "x, evil: {type: stdout}}\n# ${W_TRICK} $$");
  const Config config = w.good("sinks: {a: {type: file, path: '${W_TRICK}'}}");
  CHECK(config.sinks.size() == 1);
  CHECK(sink(config, "a").settings.text("path") == "x, evil: {type: stdout}}\n# ${W_TRICK} $$");
  w.set("W_LIST", "[a, b]");
  CHECK(joined(w.mistakes("streams: {log: {sinks: '${W_LIST}'}}")) ==
        "weir.yaml:1:24: streams.log.sinks: must be a list: write [[a, b]]\n");
  w.set("W_SIZE", "32MiB");
  CHECK(w.good("journal: {max_bytes: '${W_SIZE}'}").journal.integer("max_bytes") == 32 << 20);
}

TEST_CASE("what cannot be put in is a mistake at its place, and only one") {
  Workspace w;
  w.set("W_NONE", std::nullopt);
  w.set("CREDENTIALS_DIRECTORY", std::nullopt);
  CHECK(joined(w.mistakes(R"(log: {level: "${W_NONE}"}
data_dir: ${file:/nowhere/at/all}
control:
  path: ${cred:x}
sinks:
  a: {type: "${what is this}"}
  b: {type: "${W_NONE"}
)")) == "weir.yaml:1:14: log.level: $W_NONE is not set: set it, or write ${W_NONE:-default}\n"
        "weir.yaml:2:11: data_dir: cannot read /nowhere/at/all: No such file or directory\n"
        "weir.yaml:4:9: control.path: ${cred:x} needs $CREDENTIALS_DIRECTORY: set LoadCredential=x:... in "
        "the unit\n"
        "weir.yaml:6:13: sinks.a.type: ${what is this} is not a form weir knows: write ${VAR}, "
        "${VAR:-default}, "
        "${env:VAR}, ${file:/path}, ${cred:name}, or $$ for a dollar sign\n"
        "weir.yaml:7:13: sinks.b.type: ${ is not closed: write ${VAR}, or $$ for a dollar sign\n");
  w.set("CREDENTIALS_DIRECTORY", w.root());
  CHECK(joined(w.mistakes("data_dir: ${cred:../x}")) ==
        "weir.yaml:1:11: data_dir: ${cred:../x} must name a credential, not a path\n");
}

TEST_CASE("a value that a later file replaces need not be there") {
  Workspace w;
  w.set("W_NONE", std::nullopt);
  const std::string base = w.file("a.yaml", "data_dir: ${W_NONE}");
  const std::string over = w.file("b.yaml", "data_dir: /d");
  CHECK(w.must(w.load({.files = {base, over}})).data_dir == "/d");
}
