#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/core/result.h"

/// Options are declared once (name, type, default, unit, sentence, limits); parsing with line numbers,
/// "did you mean", REFERENCE.md and `weir check` come from the table (architecture.md section 3).
namespace weir {

enum class OptionType {
  boolean,
  integer,
  bytes,     ///< `64MiB`, `256KiB`, `1GB`; held as int64 bytes
  duration,  ///< `250ms`, `10m`, `24h`; held as int64 nanoseconds
  string,
  path,
  choice,  ///< one of `choices`
  string_list,
  file_mode,   ///< octal, `0660`; held as int64
  secret,      ///< held as Secret
  secret_map,  ///< names to secrets (HTTP headers); held as SecretMap
  ratio,       ///< decimal from 0 to 1; held as text that parse_ratio() takes
};

/// A value that is never shown (security.md): printed as the reference it came from (`${env:X}`), else `***`.
struct Secret {
  std::string value;
  std::string shown = "***";
  bool operator==(const Secret& o) const { return value == o.value; }
};
using SecretMap = std::vector<std::pair<std::string, Secret>>;

struct Option {
  std::string_view name;  ///< `rotate.max_bytes` stands in YAML as `rotate: {max_bytes: ...}`; such
                          ///< neighbours stand together in the table
  OptionType type = OptionType::string;
  std::string_view default_text = {};  ///< as it would be written in YAML; empty and not required: null
  std::string_view sentence = {};      ///< one sentence for REFERENCE.md, says the unit and what null means
  std::vector<std::string_view> choices = {};
  int64_t min = INT64_MIN, max = INT64_MAX;
  bool required = false;
  bool nullable = false;  ///< `null` may be written
};
using OptionTable = std::vector<Option>;

/// Where a value was written.
struct Location {
  std::string file;          ///< `weir.yaml`, `--set`, `--tracing`, `<embedded default>`
  int line = 0, column = 0;  ///< 1-based; 0: no position
};

using OptionValue =
    std::variant<std::monostate, bool, int64_t, std::string, std::vector<std::string>, Secret, SecretMap>;

/// Values of one OptionTable, all present (defaults filled in). Compared by value for reload.
class Settings {
 public:
  void set(std::string_view name, OptionValue value) { values_[std::string(name)] = std::move(value); }
  bool null(std::string_view name) const { return std::holds_alternative<std::monostate>(at(name)); }
  bool boolean(std::string_view name) const { return std::get<bool>(at(name)); }
  int64_t integer(std::string_view name) const { return std::get<int64_t>(at(name)); }
  const std::string& text(std::string_view name) const { return std::get<std::string>(at(name)); }
  const std::vector<std::string>& list(std::string_view name) const {
    return std::get<std::vector<std::string>>(at(name));
  }
  const std::string& secret(std::string_view name) const { return std::get<Secret>(at(name)).value; }
  const SecretMap& secrets(std::string_view name) const { return std::get<SecretMap>(at(name)); }
  const std::map<std::string, OptionValue, std::less<>>& values() const { return values_; }
  bool operator==(const Settings&) const = default;

 private:
  const OptionValue& at(std::string_view name) const;
  std::map<std::string, OptionValue, std::less<>> values_;
};

/// One kind of sink or listener, as configuration sees it. The registries of sinks/ and ingest/ list them.
struct ComponentType {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< `jsonl` for `file`
  std::string_view sentence;
  OptionTable options;
  /// Checks that one option alone cannot see; returns {option name, text} for each mistake.
  std::function<std::vector<std::pair<std::string, std::string>>(const Settings&)> validate = nullptr;
};

/// Parses one value by the option's type and limits. Used for YAML scalars, `--set` and defaults.
Result<OptionValue> parse_option(const Option& option, std::string_view text);
/// `rotate` of `rotate.max_bytes`; empty for most.
std::string_view option_group(const Option& option);
/// Every option of the table at its default.
Settings default_settings(const OptionTable& table);
/// As it would be written in YAML (`64MiB`, `250ms`, quoted where needed); secrets as what they show.
std::string format_option(const Option& option, const OptionValue& value);
/// One string as weir's YAML reader takes it: plain where that is safe, else in double quotes, `$` doubled.
std::string format_yaml_string(std::string_view text);

Result<int64_t> parse_bytes(std::string_view text);        ///< `64MiB` -> 67108864
Result<int64_t> parse_duration_ns(std::string_view text);  ///< `250ms` -> 250000000
Result<double> parse_ratio(std::string_view text);         ///< `0.1`, from 0 to 1
std::string format_bytes(int64_t bytes);                   ///< exact, largest unit without remainder
std::string format_duration_ns(int64_t ns);

/// The nearest of `known` to `word` (edit distance at most a third of its length), empty when none is near.
std::string_view did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace weir
