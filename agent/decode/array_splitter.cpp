#include <emmintrin.h>

#include <cstring>

#include "agent/core/json.h"
#include "agent/decode/decoder.h"
#include "agent/decode/parser.h"

namespace weir {
namespace decode {
namespace {
#include "agent/decode/scan.h"

/// Whole texts of any depth, grammar only (and UTF-8 where asked).
template <bool kCheckUtf8>
class GrammarScanner : public Scanner<kCheckUtf8> {
  using Base = Scanner<kCheckUtf8>;
  using Base::begin_, Base::end_, Base::fail, Base::space;

 public:
  GrammarScanner(std::string_view text, std::vector<bool>& nesting) : Base(text), nesting_(nesting) {}

  /// Is the text one JSON value? `elements`, if any, gets the children of an outer array.
  bool scan(std::vector<Span>* elements) {
    const char* p = space(begin_);
    p = p < end_ ? value(p, elements) : fail(p, {});
    if (p == nullptr) return false;
    p = space(p);
    return p >= end_ || fail(p, "expected nothing behind the value") != nullptr;
  }

 private:
  const char* value(const char* p, std::vector<Span>* elements) {
    nesting_.clear();
    for (bool key_next = false;;) {
      if (key_next) {
        p = key(p);
        if (p == nullptr) return nullptr;
      }
      if (elements != nullptr && nesting_.size() == 1 && !nesting_.back())
        elements->push_back({offset(p), 0});
      if ((*p == '{' || *p == '[') && p < end_) {
        const bool object = *p == '{';
        nesting_.push_back(object);
        // An element may be kDepthMax deep; the array around it is one more.
        if (elements != nullptr && nesting_.size() > kDepthMax + 1)
          return fail(p, Reason::too_deep, "expected at most 64 levels");
        p = space(p + 1);
        if (*p != closing(object)) {
          key_next = object;
          continue;
        }
      } else {
        p = scalar(p);
        if (p == nullptr) return nullptr;
      }
      p = behind_value(p, elements);
      if (p == nullptr || nesting_.empty()) return p;
      key_next = nesting_.back();
    }
  }

  /// `p` behind a scalar or at the bracket of an empty container: closes what closes here. Returns where the
  /// next member or element begins, or, with nothing open, the end of the text.
  const char* behind_value(const char* p, std::vector<Span>* elements) {
    for (;;) {
      const bool in_outer_array = elements != nullptr && nesting_.size() == 1 && !nesting_.back();
      if (in_outer_array && !elements->empty() && elements->back().end == 0) elements->back().end = offset(p);
      if (nesting_.empty()) return p;
      p = space(p);
      if (*p == ',') return p < end_ ? space(p + 1) : fail(p, {});
      if (*p != closing(nesting_.back()) || p >= end_) {
        return fail(p, nesting_.back() ? "expected a comma or a closing brace"
                                       : "expected a comma or a closing bracket");
      }
      nesting_.pop_back();
      ++p;
    }
  }

  const char* key(const char* p) {
    if (*p != '"') return fail(p, "expected a key in double quotes");
    bool escaped;
    p = this->string(p, escaped);
    if (p == nullptr) return nullptr;
    p = space(p);
    return *p == ':' ? space(p + 1) : fail(p, "expected a colon");
  }

  const char* scalar(const char* p) {
    bool ignored;
    if (*p == '"') return this->string(p, ignored);
    if (Base::begins_number(*p)) return this->number(p, ignored);
    JsonType type;
    return this->literal(p, type);
  }

  static char closing(bool object) { return object ? '}' : ']'; }
  uint32_t offset(const char* p) const { return uint32_t(p - begin_); }

  std::vector<bool>& nesting_;  // true: an object
};

}  // namespace

Fault judge_other_text(std::string_view text, std::vector<bool>& nesting) {
  GrammarScanner<true> scanner(text, nesting);
  if (!scanner.scan(nullptr)) return scanner.fault();
  return {Reason::not_an_object, 0, "expected an object"};
}

}  // namespace decode

Fault ArraySplitter::split(std::string_view payload_untrusted) {
  elements_.clear();
  decode::GrammarScanner<false> scanner(payload_untrusted, nesting_);
  if (!scanner.scan(&elements_)) return scanner.fault();
  return {};
}

}  // namespace weir
