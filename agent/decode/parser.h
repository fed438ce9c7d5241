#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/reason.h"
#include "agent/core/record.h"
#include "agent/decode/decoder.h"
#include "agent/decode/key_set.h"
#include "agent/decode/shapes.h"

/// Inside of the decoder.
namespace weir::decode {

/// What is kept from record to record for its capacity.
struct Workspace {
  KeySet keys;
  KeyScope scopes[kDepthMax + 1];  ///< of the open objects, by depth
  std::vector<uint64_t> quotes;    ///< index of the record
  Shapes shapes;
  std::vector<uint16_t> quote_places;  ///< of a record that is tried against them
  std::string decoded;                 ///< a key or stream name without its escapes, zeros behind it
  std::vector<bool> nesting;           ///< of grammar scans
};

/// One record, `parse_record.h` for three instruction sets. A text that is no object is judged by
/// judge_other_text().
using ParseRecord = Fault (*)(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                              Workspace& work);
Fault parse_record_sse2(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                        Workspace& work);
Fault parse_record_avx2(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                        Workspace& work);
Fault parse_record_avx512(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                          Workspace& work);
/// Those that this processor can run, the best one first.
std::span<const ParseRecord> parse_records();

/// The verdict on a text that does not begin with `{`: not_an_object when it is valid JSON by grammar and
/// UTF-8.
Fault judge_other_text(std::string_view text, std::vector<bool>& nesting);

// Growth and rare conversions, kept out of the sources that are compiled for newer processors.
void grow_quotes(Workspace& work, size_t words);
/// Contents of literal `raw` decoded into `out`; 16 bytes with zeros behind the end are readable. Returns the
/// length.
size_t decode_padded(std::string_view raw, std::string& out);
/// Is number `text` within the range of a double?
bool finite_number(std::string_view text);

}  // namespace weir::decode
