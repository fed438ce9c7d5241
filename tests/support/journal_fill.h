#pragma once
#include <string>
#include <vector>

#include "agent/journal/journal.h"

namespace weir::test {

/// Appends lines as one transaction, in a block of their own or the one given.
class Filler {
 public:
  explicit Filler(Journal& journal) : journal_(journal) {}

  AppendResult append(const std::vector<std::pair<Stream, std::string>>& lines) {
    size_t bytes = 0;
    for (const auto& [stream, line] : lines) bytes += line.size() + 1 + sizeof(IndexEntry);
    if (!block_ || block_->space() < bytes) block_ = journal_.new_block(bytes);
    Transaction t;
    t.block = block_;
    t.first_entry = block_->entry_count();
    t.received_ns = ++appends_ * kMillisecond;
    for (const auto& [stream, line] : lines) {
      std::memcpy(block_->tail(), (line + "\n").data(), line.size() + 1);
      block_->add_line(line.size() + 1, stream);
      ++t.entry_count;
      ++t.totals.records[size_t(stream)];
      t.totals.bytes[size_t(stream)] += line.size() + 1;
    }
    AppendResult result = journal_.append(t);
    if (result != AppendResult::taken) block_.reset();
    return result;
  }
  static constexpr int64_t kMillisecond = 1'000'000;  ///< from one append to the next

  AppendResult append(Stream stream, const std::string& line) { return append({{stream, line}}); }

 private:
  Journal& journal_;
  std::shared_ptr<Block> block_;
  int64_t appends_ = 0;
};

inline std::vector<std::string> lines_of(const BatchView& batch) {
  std::vector<std::string> out;
  batch.for_each([&](std::string_view line, Stream) { out.emplace_back(line.substr(0, line.size() - 1)); });
  return out;
}

}  // namespace weir::test
