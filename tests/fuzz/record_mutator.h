#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// Changes to a sequence of records (one a line) that leave most of them records, and most of their shapes
/// as they were: what a byte here and there would hardly ever do.
class RecordMutator {
 public:
  explicit RecordMutator(unsigned seed) : random_(seed) {}
  void mutate(std::string& lines);

 private:
  /// A scalar or a key of a line, found by a look that takes wrong JSON, too.
  struct Token {
    size_t begin, end;
    bool text, key;
    std::string_view of(std::string_view line) const { return line.substr(begin, end - begin); }
  };
  static std::vector<Token> tokens_of(std::string_view line);
  void change_values(std::string& line, const std::string& other);
  void change_structure(std::string& line);
  std::string value_like(const Token& token, std::string_view line, const std::string& other);
  std::string mutated_text(std::string_view text);
  size_t below(size_t n) { return random_() % n; }
  bool one_in(size_t n) { return below(n) == 0; }

  std::minstd_rand random_;
};

}  // namespace weir::test
