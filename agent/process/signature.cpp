#include "agent/process/signature.h"

#include <openssl/evp.h>

#include <array>
#include <span>
#include <vector>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/process/redact.h"
#include "agent/process/shape_cache.h"

namespace weir {
namespace {

/// SHA-256 of one text after another, as 64 hex digits.
class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    WEIR_CHECK(algorithm_ != nullptr && context_ != nullptr);
  }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }

  std::array<char, 64> hex(std::string_view text) {
    std::array<unsigned char, 32> digest;
    unsigned size = 0;
    WEIR_CHECK(EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1);
    WEIR_CHECK(EVP_DigestUpdate(context_, text.data(), text.size()) == 1);
    WEIR_CHECK(EVP_DigestFinal_ex(context_, digest.data(), &size) == 1 && size == digest.size());
    std::array<char, 64> out;
    for (size_t i = 0; i < digest.size(); ++i) {
      out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
      out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return out;
  }

 private:
  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

bool key_is(std::string_view line, const Member& member, std::string_view name) {
  const std::string_view raw = member.key.of(line);
  if (member.key_escaped) return json::string_is(raw, name);
  return raw.size() == name.size() + 2 && raw.substr(1, name.size()) == name;
}

/// What happens to `identity` or to `hash`: `kept`, or it holds `text`, in quotes of its own if `quoted`.
/// `made`: the agent's own value.
struct NewText {
  bool kept = true;
  std::string_view text = {};
  bool quoted = false;
  bool made = false;
};

class Signature final : public Processor {
 public:
  Signature(const SignatureOptions& options, std::shared_ptr<Redactor> redactor)
      : mode_(options.mode), redactor_(std::move(redactor)) {}

  Verdict process(const RecordView& record, EditList& edits) override {
    const FieldTable& fields = record.fields;
    if (fields.shape() != nullptr && has_nothing_to_do(record)) return Verdict::keep();
    if (fields.has(Field::msg_in)) {
      const FieldValue& in = fields[Field::msg_in];
      rewrite(record.line, in.value, fields.members_of(Field::msg_in), Redactor::Message::in, edits);
    }
    if (fields.has(Field::msg_out)) {
      rewrite_elements(record.line, fields[Field::msg_out].value, edits);
    }
    return Verdict::keep();
  }

 private:
  /// Which keys there are is the same in all records of a shape.
  bool has_nothing_to_do(const RecordView& record) {
    const RecordShape& shape = *record.fields.shape();
    if (const bool* known = idle_.find(shape)) return *known;
    bool& idle = idle_.put(shape);
    idle = true;
    const auto look = [&](const Member& m) {
      for (std::string_view name : {"value", "identity", "hash"}) idle &= !key_is(record.line, m, name);
    };
    if (record.fields.has(Field::msg_in))
      for (const Member& m : record.fields.members_of(Field::msg_in)) look(m);
    if (record.fields.has(Field::msg_out))
      for (json::Members all(record.line.data(), record.fields[Field::msg_out].value); all.next();)
        if (all.member().type == JsonType::object)
          for (json::Members m(record.line.data(), all.member().value); m.next();) look(m.member());
    return idle;
  }

  /// Reads each element once: its end is where its members end.
  void rewrite_elements(std::string_view line, Span array, EditList& edits) {
    const char* const base = line.data();
    for (const char* p = json::skip_space(base + array.begin + 1); *p != ']';) {
      if (*p == '{') {
        Span element{uint32_t(p - base), array.end};
        members_.clear();
        const char* behind = p + 1;
        for (json::Members m(base, element); m.next();) {
          members_.push_back(m.member());
          behind = base + m.member().value.end;
        }
        p = json::skip_space(behind) + 1;
        element.end = uint32_t(p - base);
        rewrite(line, element, members_, Redactor::Message::out, edits);
      } else {
        p = json::skip_value(p);
      }
      p = json::skip_space(p);
      if (*p == ',') p = json::skip_space(p + 1);
    }
  }

  static constexpr size_t kAbsent = SIZE_MAX;

  void rewrite(std::string_view line, Span whole, std::span<const Member> members, Redactor::Message message,
               EditList& edits) {
    size_t value = kAbsent, identity = kAbsent, hash = kAbsent;
    for (size_t i = 0; i < members.size(); ++i) {
      // The three names are 4 to 8 bytes long; an escaped key may be any of them.
      const uint32_t size = members[i].key.size();
      if (size > 10 && !members[i].key_escaped) continue;
      if (key_is(line, members[i], "value"))
        value = i;
      else if (key_is(line, members[i], "identity"))
        identity = i;
      else if (key_is(line, members[i], "hash"))
        hash = i;
    }
    if (value == kAbsent && identity == kAbsent && hash == kAbsent) return;

    const std::string_view known =
        value == kAbsent ? std::string_view() : known_value(members[value].value.of(line), message);
    const NewText new_identity = identity_of(known, identity == kAbsent ? nullptr : &members[identity]);
    const NewText new_hash = hash_of(known, hash == kAbsent ? nullptr : &members[hash]);
    if (value == kAbsent && new_identity.kept && new_hash.kept) return;

    edits.replace(whole);
    uint32_t from = whole.begin;
    for (size_t i = 0; i < members.size(); ++i) {
      const Member& m = members[i];
      if (i == value) {
        // Takes one comma along: the one before it, or as the first member the one behind it.
        if (i > 0) {
          copy(edits, from, members[i - 1].value.end);
          from = m.value.end;
        } else {
          copy(edits, from, m.key.begin);
          from = members.size() > 1 ? members[1].key.begin : m.value.end;
        }
      } else if ((i == identity && !new_identity.kept) || (i == hash && !new_hash.kept)) {
        copy(edits, from, m.value.begin);
        write(edits, i == identity ? new_identity : new_hash);
        from = m.value.end;
      }
    }
    copy(edits, from, whole.end - 1);
    bool comma = members.size() > (value == kAbsent ? 0u : 1u);
    if (identity == kAbsent && !new_identity.kept) {
      edits.text(comma ? ",\"identity\":" : "\"identity\":");
      write(edits, new_identity);
      comma = true;
    }
    if (hash == kAbsent && !new_hash.kept) {
      edits.text(comma ? ",\"hash\":" : "\"hash\":");
      write(edits, new_hash);
    }
    edits.text("}");
    edits.end();
  }

  static void copy(EditList& edits, uint32_t begin, uint32_t end) {
    if (begin < end) edits.original({begin, end});
  }

  static void write(EditList& edits, const NewText& text) {
    if (text.made) return edits.made(text.text);
    if (text.quoted) edits.text("\"");
    edits.text(text.text);
    if (text.quoted) edits.text("\"");
  }

  static NewText nulled(const Member* sent) {
    if (sent == nullptr || sent->type == JsonType::null) return {};
    return {.kept = false, .text = "null"};
  }

  /// What identity and hash may be made from.
  std::string_view known_value(std::string_view value, Redactor::Message message) {
    if (!redactor_ || mode_ == SignatureMode::type_only) return value;
    return redactor_->message_value(message, value, redacted_);
  }

  /// `value` is empty where none was sent.
  NewText identity_of(std::string_view value, const Member* sent) const {
    if (mode_ == SignatureMode::type_only) return nulled(sent);
    if (sent != nullptr && sent->type != JsonType::null) return {};
    const std::string_view id = json::find_key(value, "id");
    if (id.empty()) return {};
    switch (json::type_of(id.front())) {
      case JsonType::string:
        return {.kept = false, .text = id};
      case JsonType::number:
      case JsonType::boolean:
        return {.kept = false, .text = id, .quoted = true};
      default:
        return {};
    }
  }

  NewText hash_of(std::string_view value, const Member* sent) {
    if (mode_ != SignatureMode::hash) return nulled(sent);
    if (value.empty() || (sent != nullptr && sent->type != JsonType::null)) return {};
    canonical_.clear();
    append_canonical(value, canonical_);
    const std::array<char, 64> hex = sha256_.hex(canonical_);
    quoted_hash_[0] = quoted_hash_[65] = '"';
    std::copy(hex.begin(), hex.end(), quoted_hash_.begin() + 1);
    return {.kept = false, .text = {quoted_hash_.data(), quoted_hash_.size()}, .made = true};
  }

  const SignatureMode mode_;
  const std::shared_ptr<Redactor> redactor_;  // may be null
  Sha256 sha256_;
  ShapeCache<bool> idle_;        // of shapes without any of the keys that this is about
  std::vector<Member> members_;  // of one msg_out element
  std::string redacted_, canonical_;
  std::array<char, 66> quoted_hash_{};
};

}  // namespace

std::unique_ptr<Processor> make_signature(const SignatureOptions& options,
                                          std::shared_ptr<Redactor> redactor) {
  return std::make_unique<Signature>(options, std::move(redactor));
}

}  // namespace weir
