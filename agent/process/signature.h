#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "agent/process/processor.h"

namespace weir {

enum class SignatureMode { type_only, type_and_identity, hash };

struct SignatureOptions {
  SignatureMode mode = SignatureMode::type_only;
  bool operator==(const SignatureOptions&) const = default;
};

class Redactor;

/// Message signatures of msg_in and each element of msg_out (records.md section 4). `value` never passes.
/// With a redactor, identity and hash are derived from the redacted form of `value`.
std::unique_ptr<Processor> make_signature(const SignatureOptions& options,
                                          std::shared_ptr<Redactor> redactor = nullptr);

/// Appends the canonical form (keys sorted by code point, no spaces, Python's json escapes, numbers as
/// written).
void append_canonical(std::string_view value, std::string& out);

}  // namespace weir
