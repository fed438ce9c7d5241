#include "agent/cli/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "agent/cli/json_text.h"
#include "agent/cli/table.h"

namespace weir::cli {
namespace {

using nlohmann::json;

std::string safe_text(const json& object, const char* key) { return terminal_safe(text_of(object, key)); }

double number_of(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_number() ? value.get<double>() : 0;
}

/// At most 7 columns: `2.5`, `999,999`, `12.35M`.
std::string short_number(double n) {
  if (n < 9.95 && n != std::floor(n)) return fmt::format("{:.1f}", n);
  if (n < 999'999.5) return with_commas(uint64_t(std::llround(n)));
  if (n < 999.995e6) return fmt::format("{:.2f}M", n / 1e6);
  if (n < 999.995e9) return fmt::format("{:.2f}G", n / 1e9);
  return fmt::format("{:.0f}T", std::min(n / 1e12, 999'999.0));
}

std::string number_text(const json& object, const char* key) {
  return member(object, key).is_number() ? short_number(number_of(object, key)) : "-";
}
std::string bytes_text(const json& object, const char* key) {
  return member(object, key).is_number() ? short_bytes(uint64_t(number_of(object, key))) : "-";
}
/// At most 8 columns: `0.05 ms`, `12 ms`, `1.5 s`.
std::string milliseconds(const json& object, const char* key) {
  if (!member(object, key).is_number()) return "-";
  const double ms = number_of(object, key) * 1e3;
  if (ms < 9.995) return fmt::format("{:.2f} ms", ms);
  return ms < 999.5 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.1f} s", std::min(ms / 1e3, 9999.0));
}
/// Something that ought to be zero.
Cell loss(const json& object, const char* key) {
  return {number_text(object, key), number_of(object, key) > 0 ? kRed : ""};
}

std::string_view state_colour(const std::string& state) {
  if (state == "ok") return kGreen;
  if (state == "retrying" || state == "paused" || state == "draining" || state == "full") return kYellow;
  return kRed;
}

/// Words that belong on one line, as many as there is room for.
std::string join_fitting(const std::vector<Cell>& words, const TopLook& look) {
  std::string out;
  size_t used = 0;
  for (const Cell& word : words) {
    const size_t space = used > 0 ? 2 : 0, width = display_width(word.text);
    if (word.text.empty() || used + space + width > look.width) continue;
    out.append(space, ' ').append(paint(word.text, word.colour, look.colour));
    used += space + width;
  }
  return out;
}

/// One table of the screen: its rows in order, and how many of them are to be shown.
struct Section {
  std::string title;
  std::vector<Table::Column> columns;  ///< the first heading is the title's
  std::vector<std::vector<Cell>> rows;
  size_t shown = 0;
};

/// A table takes an empty line, its heading, and at least one row. Sections come with the most important
/// first; each gets one row, then they take turns.
void share_lines(std::vector<Section>& sections, size_t lines) {
  for (Section& s : sections)
    if (!s.rows.empty() && lines >= 3) s.shown = 1, lines -= 3;
  for (bool more = true; more && lines > 0;) {
    more = false;
    for (Section& s : sections)
      if (s.shown > 0 && s.shown < s.rows.size() && lines > 0) ++s.shown, --lines, more = true;
  }
}

class View {
 public:
  View(const json& rates, const TopLook& look) : rates_(rates), look_(look) {}

  std::vector<std::string> render() {
    head();
    std::vector<Section> sections{sinks(), sources(), streams(), producers()};
    share_lines(sections, look_.height - std::min(look_.height, lines_.size()));
    for (const size_t i : {1, 2, 0, 3}) put(sections[i]);
    if (lines_.size() > look_.height) lines_.resize(look_.height);
    return std::move(lines_);
  }

 private:
  void head() {
    const std::string hash = safe_text(rates_, "config_hash"), time = safe_text(rates_, "time");
    add({{"weir " + safe_text(rates_, "version"), kBold},
         {time.size() >= 19 ? time.substr(11, 8) + "Z" : ""},
         {fmt::format("pid {}", count_of(rates_, "pid"))},
         {"up " + short_span(count_of(rates_, "uptime_s"))},
         {fmt::format("generation {}", count_of(rates_, "generation"))},
         {"config " + hash.substr(0, 12)},
         {files()}});
    add(totals());
    add(journal());
    if (!look_.notice.empty()) lines_.push_back(paint(fit(look_.notice, look_.width), kRed, look_.colour));
  }

  std::string files() const {
    std::string out;
    if (const json& files = member(rates_, "config_files"); files.is_array())
      for (const json& file : files)
        out += (out.empty() ? "" : ", ") + (file.is_string() ? terminal_safe(file.get<std::string>()) : "");
    return out;
  }

  double sum(const char* group, std::initializer_list<const char*> keys) const {
    double sum = 0;
    if (const json& all = member(rates_, group); all.is_object())
      for (const auto& [name, value] : all.items())
        for (const char* key : keys) sum += number_of(value, key);
    return sum;
  }

  std::vector<Cell> totals() const {
    const bool known = member(rates_, "seconds").is_number();
    const auto rate = [known](double n) { return known ? short_number(n) + "/s" : std::string("-"); };
    const double in = sum("sources", {"received_per_s"}), out = sum("sinks", {"delivered_per_s"});
    const double lost =
        sum("sinks", {"dropped_per_s", "quarantined_per_s"}) + sum("sources", {"rejected_per_s"});
    const double lag = sum("sinks", {"lag_records"});
    return {{"in " + rate(in)},
            {"out " + rate(out)},
            {"lost " + rate(lost), lost > 0 ? kRed : ""},
            {"lag " + short_number(lag), lag > 0 ? kYellow : ""},
            {"memory " + bytes_text(rates_, "memory_bytes")}};
  }

  std::vector<Cell> journal() const {
    const json& j = member(rates_, "journal");
    const uint64_t bytes = count_of(j, "bytes"), bytes_max = count_of(j, "bytes_max");
    const std::string state = safe_text(j, "state"), reload = safe_text(rates_, "last_reload");
    std::vector<Cell> words{{"journal " + safe_text(j, "type")},
                            {state, state_colour(state)},
                            {fmt::format("{} of {} ({}%)", short_bytes(bytes), short_bytes(bytes_max),
                                         bytes_max ? bytes * 100 / bytes_max : 0)}};
    if (const json& error = member(rates_, "conservation_error"); error.is_number() && error != 0)
      words.push_back({error.dump() + " records are not accounted for", kRed});
    if (reload == "refused") words.push_back({"last reload refused", kRed});
    return words;
  }

  /// The members of a group by the order that is asked for; `lag`, `rate` and `drops` name what to compare.
  std::vector<std::pair<std::string, const json*>> ordered(const char* group, const char* lag,
                                                           const char* rate, const char* drops) const {
    std::vector<std::pair<std::string, const json*>> out;
    if (const json& all = member(rates_, group); all.is_object())
      for (const auto& [name, value] : all.items()) out.emplace_back(name, &value);
    if (look_.sort == TopSort::name) return out;
    const char* const first = look_.sort == TopSort::lag ? lag : look_.sort == TopSort::drops ? drops : rate;
    std::stable_sort(out.begin(), out.end(), [&](const auto& a, const auto& b) {
      const double x = number_of(*a.second, first), y = number_of(*b.second, first);
      return x != y ? x > y : number_of(*a.second, rate) > number_of(*b.second, rate);
    });
    return out;
  }

  Section sources() const {
    Section s{"SOURCE",
              {{"", false, 30, 12},
               {"CONNS", true},
               {"RECEIVED/S", true},
               {"JOURNALLED/S", true},
               {"REJECTED/S", true},
               {"BYTES/S", true},
               {"RECEIVED", true},
               {"RULES/S", true},
               {"DUPLICATE/S", true},
               {"ADDRESS", false, 80, 12}},
              {}};
    for (const auto& [name, is] : ordered("sources", "received_per_s", "received_per_s", "rejected_per_s"))
      s.rows.push_back({{terminal_safe(name)},
                        {number_text(*is, "connections")},
                        {number_text(*is, "received_per_s")},
                        {number_text(*is, "journalled_per_s")},
                        loss(*is, "rejected_per_s"),
                        {bytes_text(*is, "bytes_per_s")},
                        {number_text(*is, "received")},
                        {number_text(*is, "dropped_by_rule_per_s")},
                        {number_text(*is, "duplicate_per_s")},
                        {safe_text(*is, "address"), kDim}});
    return s;
  }

  Section streams() const {
    Section s{"STREAM",
              {{"", false, 30, 10}, {"", false}, {"RECORDS/S", true}, {"BYTES/S", true}, {"RECORDS", true}},
              {}};
    for (const char* name : {"trace", "log", "telemetry", "monitoring"}) {
      const json& is = member(member(rates_, "streams"), name);
      if (!is.is_object()) continue;
      const bool enabled = member(is, "enabled") != false;
      s.rows.push_back({{name},
                        {enabled ? "on" : "disabled", enabled ? kGreen : kDim},
                        {number_text(is, "records_per_s")},
                        {bytes_text(is, "bytes_per_s")},
                        {number_text(is, "records")}});
    }
    return s;
  }

  Section sinks() const {
    Section s{"SINK",
              {{"", false, 30, 10},
               {"STATE", false, 13},
               {"DELIVERED/S", true},
               {"LAG", true},
               {"BEHIND", true},
               {"DROPPED/S", true},
               {"DELIVERY", true},
               {"LAG BYTES", true},
               {"DROPPED", true},
               {"QUARANTINED", true},
               {"FILTERED/S", true},
               {"LAST ERROR", false, 200, 12}},
              {}};
    for (const auto& [name, is] : ordered("sinks", "lag_records", "delivered_per_s", "dropped_per_s"))
      s.rows.push_back({{terminal_safe(name)},
                        state_of(*is),
                        {number_text(*is, "delivered_per_s")},
                        {number_text(*is, "lag_records"), number_of(*is, "lag_records") > 0 ? kYellow : ""},
                        {behind(*is)},
                        loss(*is, "dropped_per_s"),
                        {milliseconds(*is, "delivery_s")},
                        {bytes_text(*is, "lag_bytes")},
                        loss(*is, "dropped"),
                        loss(*is, "quarantined"),
                        {number_text(*is, "filtered_per_s")},
                        {safe_text(*is, "last_error"), text_of(*is, "state") == "ok" ? kDim : kRed}});
    return s;
  }

  static Cell state_of(const json& sink) {
    const std::string state = safe_text(sink, "state");
    return {state, state_colour(state)};
  }

  static std::string behind(const json& sink) {
    if (!member(sink, "behind_s").is_number()) return "-";
    const double seconds = number_of(sink, "behind_s");
    if (seconds >= 99.5) return short_span(uint64_t(std::min(seconds, 1e10)));
    return seconds > 0 ? fmt::format("{:.1f}s", seconds) : "0";
  }

  Section producers() const {
    Section s{"PRODUCER",
              {{"", false, 64, 16},
               {"PROGRAM", false, 15},
               {"PID", true},
               {"UID", true},
               {"RECORDS/S", true},
               {"LAST NUMBER", true},
               {"GAPS", true}},
              {}};
    const json& all = member(rates_, "producers");
    for (const json& is : all.is_array() ? all : json::array())
      if (member(is, "records_per_s") != 0)  // the others make no noise
        s.rows.push_back({{safe_text(is, "client_id")},
                          {safe_text(is, "program")},
                          {safe_text(is, "pid")},
                          {safe_text(is, "uid")},
                          {number_text(is, "records_per_s")},
                          {number_text(is, "last_seq")},
                          loss(is, "gaps")});
    if (look_.sort == TopSort::name)
      std::stable_sort(s.rows.begin(), s.rows.end(),
                       [](const auto& a, const auto& b) { return a[0].text < b[0].text; });
    if (number_of(rates_, "others_per_s") >= 0.05 || s.rows.empty()) put_others(s);
    return s;
  }

  /// Those who do not number their records: where they belong among the others.
  void put_others(Section& s) const {
    const json& all = member(rates_, "producers");
    size_t at = s.rows.size();
    if (look_.sort != TopSort::name && all.is_array())
      at = size_t(std::count_if(all.begin(), all.end(), [&](const json& client) {
        return number_of(client, "records_per_s") > number_of(rates_, "others_per_s");
      }));
    s.rows.insert(
        s.rows.begin() + int64_t(at),
        {{"(not numbered)", kDim}, {}, {}, {}, {number_text(rates_, "others_per_s")}, {"-"}, {"-"}});
  }

  void put(const Section& section) {
    if (section.shown == 0) return;
    const std::string title = section.shown < section.rows.size()
                                  ? fmt::format("{} {}/{}", section.title, section.shown, section.rows.size())
                                  : section.title;
    std::vector<Table::Column> columns = section.columns;
    columns[0].heading = title;
    columns[0].width_max = std::max(columns[0].width_max, title.size());
    Table table(columns, look_.width);
    for (size_t i = 0; i < section.shown; ++i) table.add_row(section.rows[i]);
    std::string text;
    table.render(text, look_.colour);
    lines_.emplace_back();
    for (size_t at = 0, end; (end = text.find('\n', at)) != text.npos; at = end + 1)
      lines_.push_back(text.substr(at, end - at));
  }

  void add(const std::vector<Cell>& words) { lines_.push_back(join_fitting(words, look_)); }

  const json& rates_;
  const TopLook& look_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string_view top_sort_name(TopSort sort) {
  return std::array<std::string_view, 4>{"lag", "rate", "drops", "name"}[size_t(sort)];
}

std::vector<std::string> top_view(const json& rates, const TopLook& look) {
  return View(rates, look).render();
}

std::vector<std::string> top_help(const TopLook& look) {
  constexpr std::array<std::string_view, 21> text{
      "weir top: what flows through the agent",
      "",
      "  q       quit",
      "  p       pause and go on; what is shown stays as it is",
      "  s       change the order: lag, rate, drops, name",
      "  ?       this page and back",
      "",
      "  in, out     records received and delivered; a record of two sinks counts twice",
      "  lost        rejected, dropped by a sink's limit, or in the quarantine",
      "  REJECTED    not a record; the reasons are in `weir status`",
      "  LAG         records of its streams that a sink has not delivered yet",
      "  BEHIND      how long it would take for them at its rate of now",
      "  DELIVERY    how long one write or request takes, on average",
      "  DROPPED     given up because the sink lagged too far",
      "  PRODUCER    clients that number their records; PROGRAM is a hint, it names",
      "              itself; (not numbered) are all others together",
      "",
      "A dash: not known yet. More columns appear on a wider screen.",
      "",
      "",
      "Press any key."};
  std::vector<std::string> lines;
  for (const std::string_view line : text)
    if (lines.size() < look.height) lines.push_back(fit(line, look.width));
  return lines;
}

}  // namespace weir::cli
