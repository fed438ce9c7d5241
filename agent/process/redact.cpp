#include "agent/process/redact.h"

#include "agent/core/json.h"
#include "agent/process/redact_rules.h"
#include "agent/process/value_writer.h"

namespace weir {
namespace {

constexpr std::string_view kContextFields[] = {"ctx", "ctx_set", "ctx_before", "ctx_after", "ctx_diff"};

bool is_context_field(std::string_view key) {
  if (!key.starts_with("ctx")) return false;
  for (const std::string_view field : kContextFields) {
    if (key == field) return true;
  }
  return false;
}

/// Does `path` begin with `head` and a dot?
bool is_below(std::string_view path, std::string_view head) {
  return path.size() > head.size() && path[head.size()] == '.' && path.starts_with(head);
}

/// `p` at a character or an escape inside of a string literal; returns the byte behind it and adds the length
/// of its UTF-8 to `decoded`.
const char* next_unit(const char* p, uint32_t& decoded) {
  if (*p != '\\') {
    const char* const begin = p++;
    while ((uint8_t(*p) & 0xc0) == 0x80) ++p;
    decoded += uint32_t(p - begin);
    return p;
  }
  if (p[1] != 'u') return ++decoded, p + 2;
  uint32_t unit = 0;
  for (int i = 2; i < 6; ++i)
    unit = unit << 4 | uint32_t(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
  const bool pair = unit >= 0xd800 && unit < 0xdc00;
  decoded += pair ? 4 : unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
  return p + (pair ? 12 : 6);
}

}  // namespace

/// One walk over a text: functions take the position of a value and return the one behind it. What is not
/// changed is copied in runs, from copied_ on, and nothing at all where nothing changes.
struct Redactor::State {
 public:
  State(const RedactOptions& options, int64_t context_value_len)
      : keys_(options.keys), patterns_(options.patterns), context_value_len_(context_value_len) {
    json::append_quoted(replace_, options.replace);
    paths_ = options.paths;
    for (const std::string& path : options.paths) add_context_path(path);
    for (const std::string_view field : kContextFields) context_whole_ |= keys_.contains(field);
    record_ = push(0, paths_);
    context_ = push(record_.end, context_paths_);
    message_[0] = message_paths("msg_in");
    message_[1] = message_paths("msg_out");
    fixed_ = uint32_t(active_.size());
  }

  bool rewrite(std::string_view line, std::span<const Span> made, std::string& out) {
    begin(line, made, out);
    record(json::skip_space(line.data()));
    return finish(line);
  }

  std::string_view message_value(Message message, std::string_view text, std::string& out) {
    const Below& place = message_[message == Message::out];
    begin(text, {}, out);
    if (place.whole)
      replace(text.data());
    else
      value(text.data(), place.paths, false);
    return finish(text) ? std::string_view(out) : text;
  }

 private:
  /// What is left of the paths below some key: a range of active_. Or the key's value goes as a whole.
  struct Below {
    Span paths;
    bool whole = false;
  };

  Span push(uint32_t at, const std::vector<std::string>& paths) {
    active_.insert(active_.end(), paths.begin(), paths.end());
    return {at, uint32_t(active_.size())};
  }

  /// A path into one context field is a path into all of them. One into ctx_diff may name `before` or `after`
  /// of an entry, too: that means the entry's place.
  void add_context_path(std::string_view path) {
    const size_t dot = path.find('.');
    const std::string_view field = path.substr(0, dot);
    if (!is_context_field(field)) return;
    if (dot == path.npos) {
      context_whole_ = true;
      return;
    }
    const std::string rest(path.substr(dot + 1));
    context_paths_.push_back(rest);
    if (field != "ctx_diff") return;
    for (size_t at = rest.find('.'); at != rest.npos; at = rest.find('.', at + 1)) {
      const std::string_view tail = std::string_view(rest).substr(at);
      for (const std::string_view side : {".before", ".after"}) {
        if (tail == side || is_below(tail, side))
          context_paths_.push_back(rest.substr(0, at) + std::string(tail.substr(side.size())));
      }
    }
  }

  Below message_paths(std::string_view field) {
    Below out = below(record_, field);
    if (!out.whole) out = below(out.paths, "value");
    out.whole |= keys_.contains("value");
    return out;
  }

  void begin(std::string_view text, std::span<const Span> made, std::string& out) {
    base_ = copied_ = text.data();
    made_ = made;
    out_ = &out;
    changed_ = false;
    active_.resize(fixed_);
  }

  bool finish(std::string_view text) {
    if (changed_) out_->append(copied_, text.data() + text.size());
    return changed_;
  }

  void copy_until(const char* p) {
    if (!changed_) out_->clear();
    changed_ = true;
    out_->append(copied_, p);
  }

  const char* replace(const char* p) {
    copy_until(p);
    *out_ += replace_;
    return copied_ = json::skip_value(p);
  }

  /// Reads the key at `p` and moves behind it. Its contents are valid until the next call.
  std::string_view read_key(const char*& p) {
    const char* const quote = p;
    bool escaped;
    p = json::skip_string(p, escaped);
    if (!escaped) return {quote + 1, size_t(p - quote - 2)};
    key_.clear();
    json::decode_string({quote, size_t(p - quote)}, key_);
    return key_;
  }

  /// The value of `key`, where `paths` hold. Paths that go on below are put on top of active_, for the caller
  /// to take away again.
  Below below(Span paths, std::string_view key) {
    Below out{{uint32_t(active_.size()), 0}, false};
    for (uint32_t i = paths.begin; i < paths.end; ++i) {
      const std::string_view path = active_[i];
      if (path.size() < key.size() || !path.starts_with(key)) continue;
      if (path.size() == key.size())
        out.whole = true;
      else if (path[key.size()] == '.')
        active_.push_back(path.substr(key.size() + 1));
    }
    out.paths.end = uint32_t(active_.size());
    return out;
  }

  /// The same for a key of ctx_diff, which may itself be a path: what it may mean counts.
  Below below_in_diff(std::string_view key) {
    Below out = below(context_, key);
    for (uint32_t i = context_.begin; i < context_.end; ++i) out.whole |= is_below(key, active_[i]);
    out.whole |= keys_.contains_part(key);
    return out;
  }

  /// Calls member(key, value position), which returns the position behind the value.
  template <class Function>
  const char* each_member(const char* p, Function&& member) {
    p = json::skip_space(p + 1);
    while (*p != '}') {
      const std::string_view name = read_key(p);
      const auto active = uint32_t(active_.size());
      p = json::skip_space(member(name, json::skip_space(json::skip_space(p) + 1)));
      if (active_.size() != active) active_.resize(active);
      if (*p == ',') p = json::skip_space(p + 1);
    }
    return p + 1;
  }

  const char* record(const char* p) {
    return each_member(p, [this](std::string_view name, const char* at) {
      if (!is_context_field(name)) {
        const Below inside = below(record_, name);
        return inside.whole || keys_.contains(name) ? replace(at) : value(at, inside.paths, false);
      }
      if (context_whole_) return replace(at);
      if (name == "ctx_diff" && *at == '{') return diff(at);
      return value(at, context_, context_value_len_ > 0 && (name == "ctx_before" || name == "ctx_after"));
    });
  }

  const char* diff(const char* p) {
    return each_member(p, [this](std::string_view name, const char* at) {
      const Below inside = below_in_diff(name);
      if (inside.whole) return *at == '{' && is_change(at) ? change(at, inside) : replace(at);
      return *at == '{' ? change(at, inside) : value(at, inside.paths, context_value_len_ > 0);
    });
  }

  /// Has the object `before` and `after` only? A producer's own ctx_diff may hold anything.
  static bool is_change(const char* p) {
    const std::string_view object(p, size_t(json::skip_value(p) - p));
    for (json::Members m(p, {0, uint32_t(object.size())}); m.next();) {
      const std::string_view name = m.member().key.of(object);
      if (!json::string_is(name, "before") && !json::string_is(name, "after")) return false;
    }
    return true;
  }

  /// {"before":..,"after":..}: both stand in the place of their key.
  const char* change(const char* p, const Below& place) {
    const bool cut = context_value_len_ > 0;
    return each_member(p, [this, &place, cut](std::string_view name, const char* at) {
      if (place.whole) return *at == 'n' ? at + 4 : replace(at);  // null: there was nothing on this side
      if (name == "before" || name == "after") return value(at, place.paths, cut);
      const Below inside = below(place.paths, name);
      return inside.whole || keys_.contains(name) ? replace(at) : value(at, inside.paths, cut);
    });
  }

  /// Recursive: a record is at most kDepthMax deep, and a diff a little more.
  const char* value(const char* p, Span paths, bool cut) {
    switch (*p) {
      case '"':
        return string(p, cut);
      case '{':
      case '[':
        if (keys_.empty() && patterns_.empty() && !cut && paths.size() == 0) return json::skip_value(p);
        return *p == '{' ? object(p, paths, cut) : array(p, paths, cut);
      case 't':
      case 'f':
      case 'n':
        return json::skip_value(p);
      default:
        return number(p);
    }
  }

  const char* object(const char* p, Span paths, bool cut) {
    return each_member(p, [this, paths, cut](std::string_view name, const char* at) {
      const Below inside = below(paths, name);
      return inside.whole || keys_.contains(name) ? replace(at) : value(at, inside.paths, cut);
    });
  }

  const char* array(const char* p, Span paths, bool cut) {
    p = json::skip_space(p + 1);
    while (*p != ']') {
      p = json::skip_space(value(p, paths, cut));
      if (*p == ',') p = json::skip_space(p + 1);
    }
    return p + 1;
  }

  bool is_made(const char* p) {
    const auto at = uint32_t(p - base_);
    while (!made_.empty() && made_.front().end <= at) made_ = made_.subspan(1);
    return !made_.empty() && made_.front().begin <= at;
  }

  const char* number(const char* p) {
    const char* const end = json::skip_value(p);
    if (patterns_.empty() || is_made(p) || !patterns_.find({p, size_t(end - p)}, found_)) return end;
    return replace(p);
  }

  const char* string(const char* p, bool cut) {
    bool escaped;
    const char* const end = json::skip_string(p, escaped);
    const bool found = !patterns_.empty() && !is_made(p) && find_in_string(p, end, escaped);
    const bool may_be_long = cut && end - p - 2 > context_value_len_;
    if (!found && (!may_be_long || cut_position(p, end, context_value_len_) == nullptr)) return end;
    copy_until(p);
    const size_t begin = out_->size();
    if (found)
      write_string(p, end);
    else
      out_->append(p, end);
    copied_ = end;
    if (!cut) return end;
    const char* const text = out_->data();
    const char* const at = cut_position(text + begin, text + out_->size(), context_value_len_);
    if (at == nullptr) return end;
    out_->resize(size_t(at - text));
    *out_ += kTruncated;
    *out_ += '"';
    return end;
  }

  bool find_in_string(const char* p, const char* end, bool escaped) {
    std::string_view text(p + 1, size_t(end - p - 2));
    if (escaped) {
      decoded_.clear();
      json::decode_string({p, size_t(end - p)}, decoded_);
      text = decoded_;
    }
    return patterns_.find(text, found_);
  }

  /// Each of found_ (spans of the decoded text) replaced. A character of which only a part is found goes as a
  /// whole.
  void write_string(const char* p, const char* end) {
    const std::string_view replacement(replace_.data() + 1, replace_.size() - 2);
    *out_ += '"';
    ++p;
    uint32_t decoded = 0;
    for (const Span& match : found_) {
      const char* run = p;
      uint32_t behind = decoded;
      for (const char* next = p; p < end - 1; p = next, decoded = behind) {
        next = next_unit(p, behind);
        if (behind > match.begin) break;
      }
      out_->append(run, p);
      *out_ += replacement;
      while (p < end - 1 && decoded < match.end) p = next_unit(p, decoded);
    }
    out_->append(p, end);
  }

  const NameSet keys_;
  const PatternSet patterns_;
  const int64_t context_value_len_;
  std::string replace_;  // as a JSON string
  std::vector<std::string> paths_, context_paths_;
  bool context_whole_ = false;
  std::vector<std::string_view> active_;  // first those that always hold (fixed_), then those of open objects
  Span record_, context_;
  Below message_[2];
  uint32_t fixed_ = 0;
  // Of the walk under way.
  const char* base_ = nullptr;
  const char* copied_ = nullptr;  // everything before it is in *out_, once changed_
  std::string* out_ = nullptr;
  bool changed_ = false;
  std::span<const Span> made_;
  std::vector<Span> found_;
  std::string key_, decoded_;
};

Redactor::Redactor(const RedactOptions& options, int64_t context_value_len)
    : state_(std::make_unique<State>(options, context_value_len)) {}

Redactor::~Redactor() = default;

bool Redactor::rewrite(std::string_view line, std::span<const Span> made, std::string& out) {
  return state_->rewrite(line, made, out);
}

std::string_view Redactor::message_value(Message message, std::string_view value, std::string& out) {
  return state_->message_value(message, value, out);
}

}  // namespace weir
