// Nanoseconds per trace record of signature + context_diff.   process_bench FILE   (mkdata trace N FILE)
// ./dev build release process_bench && build/release/process_bench build/bench/trace-200000.ndjson   (made by
// ./dev bench --count 200000)
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "agent/core/edit_list.h"
#include "agent/decode/decoder.h"
#include "agent/process/context_diff.h"
#include "agent/process/expression.h"
#include "agent/process/redact.h"
#include "agent/process/sample.h"
#include "agent/process/set_fields.h"
#include "agent/process/signature.h"

namespace {

using namespace weir;

// So few that they stay in the cache, as a record does that was just decoded.
constexpr size_t kRecords = 64;

struct Record {
  std::string_view line;
  FieldTable fields;
};

double best_ns(const std::vector<Record>& records, const std::function<void(const Record&)>& body) {
  double best = 1e18;
  for (int round = 0; round < 3000; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (const Record& record : records) body(record);
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    best = std::min(best, spent.count() / double(records.size()));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: process_bench FILE\n"), 64;
  std::stringstream text;
  text << std::ifstream(argv[1], std::ios::binary).rdbuf();
  std::string bytes = text.str();
  const size_t size = bytes.size();
  size_t record_bytes = 0;
  bytes.append(64, '\0');
  std::vector<Record> records;
  Decoder decoder;
  for (size_t begin = 0, end; (end = bytes.find('\n', begin)) < size && records.size() < kRecords;
       begin = end + 1) {
    Record& record = records.emplace_back();
    record.line = {bytes.data() + begin, end - begin};
    if (decoder.decode(record.line, Stream::trace, record.fields))
      records.pop_back();
    else
      record_bytes += end - begin;
  }
  std::printf("%zu records, %.0f bytes each\n", records.size(),
              double(record_bytes) / double(records.size()));

  const auto signature = make_signature({});
  const auto memory = make_context_memory();
  ContextDiffOptions options;
  const auto full = make_context_diff(options, memory, system_clock());
  options.mode = ContextDiffMode::none;
  const auto none = make_context_diff(options, memory, system_clock());
  options.mode = ContextDiffMode::whitelist;
  options.whitelist = {"order_id", "amount", "stage"};
  const auto listed = make_context_diff(options, memory, system_clock());

  EditList edits;
  std::vector<char> out(1 << 20);
  const auto row = [&](const char* name, std::vector<Processor*> processors, bool render) {
    size_t written = 0;
    const double ns = best_ns(records, [&](const Record& record) {
      edits.reset(record.line, record.fields.member_count);
      for (Processor* p : processors) p->process({record.line, record.fields}, edits);
      if (render) written += size_t(edits.render(out.data()) - out.data());
    });
    std::printf("%-44s %7.1f ns\n", name, ns);
  };
  row("signature", {signature.get()}, false);
  row("context_diff whitelist 3 of 8", {listed.get()}, false);
  row("signature + whitelist", {signature.get(), listed.get()}, false);
  row("signature + whitelist + render", {signature.get(), listed.get()}, true);
  row("signature + full", {signature.get(), full.get()}, false);
  row("signature + full + render", {signature.get(), full.get()}, true);
  row("signature + none", {signature.get(), none.get()}, false);
  row("signature + none + render", {signature.get(), none.get()}, true);
  row("render without edits", {}, true);

  const auto set = make_set({.entries = {{"service", "\"s\""}, {"attributes.env", "\"prod\""}}});
  const auto sample = make_sample({.ratio = 1});
  row("set of two fields", {set.get()}, false);
  row("sample", {sample.get()}, false);

  const auto redacted_row = [&](const char* name, const RedactOptions& rules) {
    Redactor redactor(rules, 256);
    std::string redacted;
    size_t written = 0;
    const double ns = best_ns(records, [&](const Record& record) {
      edits.reset(record.line, record.fields.member_count);
      signature->process({record.line, record.fields}, edits);
      full->process({record.line, record.fields}, edits);
      std::string_view line(out.data(), size_t(edits.render(out.data()) - out.data()));
      if (redactor.rewrite(line, edits.made_spans(), redacted)) line = redacted;
      written += line.size();
    });
    std::printf("%-44s %7.1f ns\n", name, ns);
  };
  redacted_row("  the same + 3 keys that are not there", {.keys = {"password", "pin", "secret"}});
  redacted_row("  the same + 2 keys that are there", {.keys = {"order_id", "amount", "secret"}});
  redacted_row("  the same + 2 paths", {.paths = {"attributes.http.authorization", "ctx.order_id"}});
  redacted_row("  the same + 1 pattern", {.patterns = {R"(\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b)"}});
  redacted_row("  the same + 3 patterns", {.patterns = {R"(\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b)",
                                                        "(?i)bearer [a-z0-9._~+/-]+", R"([\w.]+@[\w.]+)"}});

  const auto where =
      Expression::compile(R"(duration > 50ms and step_name in ["price", "commit"] and stage changed)");
  size_t hits = 0;
  const double ns = best_ns(records, [&](const Record& record) { hits += where->matches(record.line); });
  std::printf("%-44s %7.1f ns\n", "where of three conditions", ns);
}
