#pragma once
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace weir {

/// What went wrong and what to do about it, in one sentence for a person.
struct Error {
  std::string message;
};

/// The one alias for "a value or an Error" (architecture.md section 6).
template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace weir
