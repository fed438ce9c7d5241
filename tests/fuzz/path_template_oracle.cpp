#include <algorithm>

#include "agent/sinks/path_template.h"
#include "agent/sinks/rotated_name.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

std::string judge(const PathTemplate& path, std::string_view source, const std::string& rendered) {
  constexpr size_t kNameBytesMax = 255 - 48;  // what rotation and compression append
  const auto harmless = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/' || source.find(c) != source.npos;
  };
  if (!std::ranges::all_of(rendered, harmless)) return "a character that the template has not";
  size_t depth = 0;
  for (size_t begin = 0; begin <= rendered.size(); ++depth) {
    const size_t end = std::min(rendered.find('/', begin), rendered.size());
    const std::string_view name = std::string_view(rendered).substr(begin, end - begin);
    begin = end + 1;
    if (name.empty()) return "an empty name";
    if (name == "." || name == "..") return "a name that leads elsewhere";
    if (name.size() > kNameBytesMax) return "a name that is too long";
    RotatedName rotated;
    if (parse_rotated_name(name, rotated)) return "the name of a rotated file";
    if (!path.may_be(depth, name)) return "a name that it says it never makes: " + std::string(name);
  }
  return depth == path.depth() ? "" : "more or fewer names than it says";
}

}  // namespace

std::string check_path_template(std::string_view text) {
  const size_t lf = text.find('\n');
  const std::string source(text.substr(0, lf));
  const std::string record = record_of(lf == text.npos ? "" : text.substr(lf + 1),
                                       {"service", "scenario", "level", "logger", "kind", "process_group"});
  const auto parsed = PathTemplate::parse(source);
  if (!parsed) return parsed.error().message.empty() ? "a mistake without a text" : "";
  if (!parsed->has_fields()) return {};
  if (source.find("{{") == source.npos && !source.starts_with(parsed->prefix()))
    return "the root is not where the path begins";
  std::string rendered, again;
  for (const Stream stream : kStreams) {
    parsed->render(record, stream, rendered);
    parsed->render(record, stream, again);
    if (rendered != again) return "twice not the same path";
    if (std::string wrong = judge(*parsed, source, rendered); !wrong.empty()) return wrong + ": " + rendered;
  }
  return {};
}

}  // namespace weir::test
