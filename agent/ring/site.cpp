#include <algorithm>
#include <cstring>
#include <ranges>
#include <set>
#include <utility>

#include "agent/ring/arena.h"
#include "agent/ring/text_out.h"

namespace weir::ring {
namespace {

constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error", "fatal"};

/// Takes an entry apart. Once it has failed it stays failed.
class EntryReader {
 public:
  explicit EntryReader(std::string_view entry) : left_(entry) {}
  std::string_view bytes(size_t count) {
    if (count > left_.size()) return failed_ = true, std::string_view();
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }
  template <class T>
  T number() {
    T value{};
    if (const auto taken = bytes(sizeof value); !failed_) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  template <class Size>
  std::string_view text() {
    return bytes(number<Size>());
  }
  bool failed() const { return failed_; }

 private:
  std::string_view left_;
  bool failed_ = false;
};

/// `{name}` stands for the argument of that name; what names none stays.
std::vector<Site::Piece> pieces_of(std::string_view message, const std::vector<Site::Argument>& arguments) {
  std::vector<Site::Piece> pieces;
  std::string text;
  const auto end_text = [&] {
    if (!text.empty()) pieces.push_back({out::escaped(text), -1});
    text.clear();
  };
  while (!message.empty()) {
    const size_t open = std::min(message.find('{'), message.size());
    text += message.substr(0, open);
    message.remove_prefix(open);
    if (message.empty()) break;
    const size_t close = message.find('}');
    const std::string_view name = close == message.npos ? "" : message.substr(1, close - 1);
    const auto found = std::ranges::find_if(
        arguments, [&](const Site::Argument& a) { return !a.replaced && a.name == name; });
    if (name.empty() || found == arguments.end()) {
      text += '{';
      message.remove_prefix(1);
      continue;
    }
    end_text();
    pieces.push_back({{}, int(found - arguments.begin())});
    message.remove_prefix(close + 1);
  }
  end_text();
  return pieces;
}

std::string quoted(std::string_view text) { return "\"" + out::escaped(text) + "\""; }

void add_keys(std::vector<Site::Argument>& arguments) {
  std::set<std::string> later;
  for (auto& a : arguments | std::views::reverse) a.replaced = !later.insert(quoted(a.name)).second;
  bool first = true;
  for (auto& a : arguments)
    if (!a.replaced) a.key = (std::exchange(first, false) ? ",\"attributes\":{" : ",") + quoted(a.name) + ":";
}

void add_constants(Site& site, std::string_view service_member, uint8_t level, std::string_view name,
                   std::string_view text, std::string_view where) {
  const auto begin = [&](std::string_view stream) {
    return "{\"stream\":\"" + std::string(stream) + "\"" + std::string(service_member);
  };
  switch (site.kind) {
    case RecordKind::log:
      site.begin = begin("log") + ",\"ts\":";
      site.middle = ",\"level\":\"" + std::string(kLevels[level]) + "\",\"message\":\"";
      site.end = text.empty() ? std::string("\"") : "\",\"logger\":" + quoted(text);
      site.message = pieces_of(name, site.arguments);
      break;
    case RecordKind::span:
      site.begin = begin("trace") + ",\"kind\":\"span\",\"name\":" + quoted(name);
      site.end = where.empty() ? std::string() : ",\"where\":" + quoted(where);
      break;
    default: {
      constexpr std::string_view kTypes[] = {"\"counter\",\"temporality\":\"delta\"", "\"gauge\"",
                                             "\"histogram\""};
      site.begin = begin("telemetry") + ",\"ts\":";
      const std::string_view type = kTypes[size_t(site.kind) - size_t(RecordKind::counter)];
      site.middle = ",\"name\":" + quoted(name) + ",\"type\":" + std::string(type) + ",\"value\":";
      site.end = text.empty() ? std::string() : ",\"unit\":" + quoted(text);
    }
  }
}

}  // namespace

std::unique_ptr<const Site> make_site(std::string_view entry, std::string_view service_member) {
  EntryReader reader(entry);
  const auto header = reader.number<EntryHeader>();
  const auto name = reader.text<uint16_t>(), text = reader.text<uint16_t>(), where = reader.text<uint16_t>();
  auto site = std::make_unique<Site>();
  site->kind = RecordKind(header.record);
  for (int i = 0; i < header.args; ++i) {
    const auto type = reader.number<uint8_t>();
    const auto argument = reader.text<uint8_t>();
    if (type > uint8_t(ValueType::id8)) return nullptr;
    site->plain &= ValueType(type) != ValueType::json;
    site->arguments.push_back({ValueType(type), {}, std::string(argument)});
  }
  add_keys(site->arguments);
  if (reader.failed() || site->kind < RecordKind::log || site->kind > RecordKind::histogram ||
      header.level >= std::size(kLevels))
    return nullptr;
  add_constants(*site, service_member, header.level, name, text, where);
  site->constant_bytes = site->begin.size() + site->middle.size() + site->end.size();
  for (const auto& a : site->arguments) site->constant_bytes += a.key.size();
  for (const auto& p : site->message) site->constant_bytes += p.text.size();
  return site;
}

}  // namespace weir::ring
