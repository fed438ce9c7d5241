#include "agent/core/options.h"

#include <algorithm>
#include <charconv>

#include "agent/core/check.h"

namespace weir {
namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

Result<OptionValue> parse_boolean(std::string_view text) {
  if (text == "true") return OptionValue(true);
  if (text == "false") return OptionValue(false);
  return fail("must be true or false, not " + quoted(text));
}

Result<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value);
  if (ec == std::errc::result_out_of_range) return fail(quoted(text) + " is too large");
  if (ec != std::errc{} || rest != end) return fail("must be a whole number, not " + quoted(text));
  // YAML 1.1 reads 010 as eight, YAML 1.2 as ten: nobody shall have to know.
  const std::string_view digits = text.substr(text.front() == '-' ? 1 : 0);
  if (digits.size() > 1 && digits.front() == '0')
    return fail("must not begin with 0: write " + std::to_string(value));
  return value;
}

Result<int64_t> parse_file_mode(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value, 8);
  if (ec != std::errc{} || rest != end || text.size() < 3 || text.size() > 4 || value > 0777 || value < 0)
    return fail("must be a file mode in octal such as 0640, not " + quoted(text));
  return value;
}

/// `[a, b]` or `a, b`; YAML lists never come here, they are taken element by element.
std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  text = trim(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = trim(text.substr(1, text.size() - 2));
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view item = trim(text.substr(0, comma));
    const bool in_quotes =
        item.size() >= 2 && item.front() == item.back() && (item.front() == '"' || item.front() == '\'');
    if (in_quotes) item = item.substr(1, item.size() - 2);
    out.emplace_back(item);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return out;
}

std::string format_number(OptionType type, int64_t value) {
  if (type == OptionType::bytes) return format_bytes(value);
  if (type == OptionType::duration) return format_duration_ns(value);
  if (type != OptionType::file_mode) return std::to_string(value);
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 8).ptr;
  const std::string octal(digits, end);
  return std::string(octal.size() < 4 ? 4 - octal.size() : 0, '0') + octal;
}

Result<OptionValue> parse_number(const Option& option, std::string_view text) {
  Result<int64_t> value = option.type == OptionType::bytes      ? parse_bytes(text)
                          : option.type == OptionType::duration ? parse_duration_ns(text)
                          : option.type == OptionType::integer  ? parse_integer(text)
                                                                : parse_file_mode(text);
  if (!value) return tl::unexpected(value.error());
  if (*value < option.min)
    return fail("must be at least " + format_number(option.type, option.min) + ", not " + std::string(text));
  if (*value > option.max)
    return fail("must be at most " + format_number(option.type, option.max) + ", not " + std::string(text));
  return OptionValue(*value);
}

Result<OptionValue> parse_text(const Option& option, std::string_view text) {
  if (option.type == OptionType::ratio) {
    if (const auto ratio = parse_ratio(text); !ratio) return tl::unexpected(ratio.error());
  }
  if (option.type == OptionType::choice &&
      std::find(option.choices.begin(), option.choices.end(), text) == option.choices.end())
    return fail("must be " + joined(option.choices) + ", not " + quoted(text));
  if (option.type == OptionType::path && text.empty()) return fail("must be a path, not empty");
  if (option.type == OptionType::path && text.find('\0') != std::string_view::npos)
    return fail("must be a path, and a path holds no zero byte");
  return OptionValue(std::string(text));
}

/// True for text that every YAML reader takes for a string, and for this very one, in block and flow form.
bool plain_is_safe(std::string_view text) {
  static constexpr std::string_view kWords[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  // Digits first may be a number, a time or a version to another reader; `.inf` and `.nan` are numbers.
  if (text.empty() ||
      !(is_letter(text.front()) || text.front() == '_' || text.front() == '/' || text.starts_with("./")))
    return false;
  std::string lower;
  for (char c : text) {
    const bool plain = is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
    if (!plain) return false;
    lower += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  }
  return std::find(std::begin(kWords), std::end(kWords), lower) == std::end(kWords);
}

}  // namespace

std::string_view option_group(const Option& option) {
  const size_t dot = option.name.find('.');
  return dot == std::string_view::npos ? std::string_view{} : option.name.substr(0, dot);
}

namespace {

/// In double quotes. `dollar`: what a dollar sign becomes.
std::string in_quotes(std::string_view text, std::string_view dollar) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '$') {
      out += dollar;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string format_yaml_string(std::string_view text) {
  // A single dollar sign could be taken for a substitution.
  return plain_is_safe(text) ? std::string(text) : in_quotes(text, "$$");
}

const OptionValue& Settings::at(std::string_view name) const {
  const auto it = values_.find(name);
  if (it == values_.end())
    std::fprintf(stderr, "weir: bug: no option named %.*s\n", int(name.size()), name.data());
  WEIR_CHECK(it != values_.end());
  return it->second;
}

Result<OptionValue> parse_option(const Option& option, std::string_view text) {
  if (option.nullable && (text == "null" || text == "~")) return OptionValue(std::monostate{});
  switch (option.type) {
    case OptionType::boolean:
      return parse_boolean(text);
    case OptionType::integer:
    case OptionType::bytes:
    case OptionType::duration:
    case OptionType::file_mode:
      return parse_number(option, text);
    case OptionType::string_list:
      return OptionValue(split_list(text));
    case OptionType::secret:
      return OptionValue(Secret{std::string(text)});
    case OptionType::secret_map:
      return fail("must be a map such as {name: value}");
    case OptionType::string:
    case OptionType::path:
    case OptionType::choice:
    case OptionType::ratio:
      break;
  }
  return parse_text(option, text);
}

Settings default_settings(const OptionTable& table) {
  Settings out;
  for (const Option& option : table) {
    if (option.type == OptionType::secret_map) {
      out.set(option.name, SecretMap{});
      continue;
    }
    if (option.default_text.empty() && option.type != OptionType::string_list) {
      out.set(option.name, std::monostate{});
      continue;
    }
    const auto value = parse_option(option, option.default_text);
    if (!value)
      std::fprintf(stderr, "weir: bug: default of %.*s: %s\n", int(option.name.size()), option.name.data(),
                   value.error().message.c_str());
    WEIR_CHECK(value.has_value());
    out.set(option.name, *value);
  }
  return out;
}

namespace {

/// A reference is to be replaced again when it is read, so its dollar signs stay as they are.
std::string format_secret(const Secret& secret) { return in_quotes(secret.shown, "$"); }

}  // namespace

std::string format_option(const Option& option, const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<int64_t>(&value)) return format_number(option.type, *number);
  if (const auto* text = std::get_if<std::string>(&value))
    return option.type == OptionType::ratio ? *text : format_yaml_string(*text);
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::string out = "[";
    for (const std::string& item : *list) {
      if (out.size() > 1) out += ", ";
      out += format_yaml_string(item);
    }
    return out + "]";
  }
  if (const auto* secret = std::get_if<Secret>(&value)) return format_secret(*secret);
  if (const auto* map = std::get_if<SecretMap>(&value)) {
    std::string out = "{";
    for (const auto& [name, secret] : *map) {
      if (out.size() > 1) out += ", ";
      out += format_yaml_string(name) + ": " + format_secret(secret);
    }
    return out + "}";
  }
  return "null";
}

}  // namespace weir
