#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/result.h"
#include "agent/core/stream.h"

namespace weir {

/// A path with fields of the record in it (security.md, "path templates"):
/// `/var/log/{service}/{stream}.jsonl`.
/// `{{word}}` is `{word}` itself (core/brace_word.h). What lies before the component with the first field is
/// the root; nothing that a record holds leads out of it.
class PathTemplate {
 public:
  enum class Field { none, stream, service, scenario, level, logger, kind, process_group };

  /// What is wrong is said in one sentence, for `weir check`.
  static Result<PathTemplate> parse(std::string_view text);

  bool has_fields() const { return has_fields_; }
  /// Directory, `.` where there is none. Without fields: see path().
  const std::string& root() const { return root_; }
  /// The root as paths begin with it: empty, or with its slash.
  const std::string& prefix() const { return prefix_; }
  /// Without fields: the whole path.
  const std::string& path() const { return path_; }

  /// Replaces `out` by the path beneath the root of a record.
  void render(std::string_view line, Stream stream, std::string& out) const;

  /// Components beneath the root.
  size_t depth() const { return components_.size(); }
  /// Whether render() may make this name at that depth, from 0.
  bool may_be(size_t depth, std::string_view name) const;

 private:
  struct Piece {
    std::string text;  ///< when it is no field
    Field field = Field::none;
  };
  using Component = std::vector<Piece>;

  Result<void> split(std::vector<Piece> pieces);
  Result<void> check() const;
  static bool matches(const Component& component, size_t piece, std::string_view rest);
  void render_component(const Component& component, std::string_view line, Stream stream, bool distrust,
                        std::string& out) const;

  bool has_fields_ = false;
  std::string root_, prefix_, path_;
  std::vector<Component> components_;
};

/// Appends the JSON value as a part of a file name: its contents when they are `[A-Za-z0-9_.-]{1,64}` without
/// leading dot, `none` when it is missing or null, else `invalid-` and eight hexadecimal digits that are
/// always the same for the same contents. `distrust`: the latter whatever it is.
void append_path_value(std::string& out, std::string_view value, bool distrust = false);

}  // namespace weir
