#include "agent/sinks/http_request.h"

#include <libdeflate.h>

#include <algorithm>
#include <new>

#include "agent/core/check.h"

namespace weir {
namespace {

constexpr int kGzipLevel = 1;
constexpr size_t kCopiedBytesMax = 16 << 10;  // one write for head and body costs less than two
constexpr size_t kKeptBufferBytes = 4 << 20;  // what a buffer may keep between requests

bool equal_names(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// The lines of a batch between two ordinals as runs of memory: neighbours in a block are one.
void collect_runs(const BatchView& batch, Position first, Position last, std::vector<std::string_view>& out) {
  for (const BatchSlice& slice : batch.slices) {
    if (slice.begin >= last || slice.begin + slice.entry_count < first) continue;
    const uint64_t from = first > slice.begin + 1 ? first - slice.begin - 1 : 0;
    const uint64_t upto = std::min<uint64_t>(slice.entry_count, last - slice.begin);
    for (uint64_t i = from; i < upto; ++i) {
      const IndexEntry& e = slice.block->entry(slice.first_entry + i);
      if (!batch.streams.has(e.stream)) continue;
      const char* line = slice.block->data() + e.offset;
      if (!out.empty() && out.back().data() + out.back().size() == line)
        out.back() = {out.back().data(), out.back().size() + e.length};
      else
        out.emplace_back(line, e.length);
    }
  }
}

void let_go(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeptBufferBytes) buffer.shrink_to_fit();
}

}  // namespace

HttpRequestHead::HttpRequestHead(const HttpEndpoint& endpoint, const SecretMap& headers,
                                 const std::string& authorization, HttpFormat format, bool gzip) {
  const HttpUrl& url = endpoint.url;
  const bool absolute = endpoint.proxy && !url.tls;  // RFC 9112 section 3.2.2
  text_ = "POST " + (absolute ? "http://" + url.authority() : std::string()) + url.target +
          " HTTP/1.1\r\nHost: " + url.authority() + "\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    const bool named =
        std::ranges::any_of(headers, [&](const auto& h) { return equal_names(h.first, name); });
    if (!named) text_ += std::string(name) + ": " + std::string(value) + "\r\n";
  };
  add("User-Agent", "weir/" WEIR_VERSION);
  add("Content-Type", format == HttpFormat::ndjson ? "application/x-ndjson" : "application/json");
  if (!authorization.empty()) add("Authorization", authorization);
  for (const auto& [name, value] : headers) text_ += name + ": " + value.value + "\r\n";
  if (absolute && !endpoint.proxy->authorization.empty())
    text_ += "Proxy-Authorization: " + endpoint.proxy->authorization + "\r\n";
  if (gzip) text_ += "Content-Encoding: gzip\r\n";
}

void HttpRequestHead::append(std::string& out, uint64_t body_bytes, std::string_view key) const {
  out += text_;
  out += "Idempotency-Key: ";
  out += key;
  out += "\r\nContent-Length: ";
  out += std::to_string(body_bytes);
  out += "\r\n\r\n";
}

void HttpRequest::Free::operator()(libdeflate_compressor* compressor) const {
  libdeflate_free_compressor(compressor);
}

HttpRequest::HttpRequest(HttpFormat format, bool gzip) : format_(format) {
  if (!gzip) return;
  compressor_.reset(libdeflate_alloc_compressor(kGzipLevel));
  if (!compressor_) throw std::bad_alloc();
}
HttpRequest::~HttpRequest() = default;

std::string_view HttpRequest::compressed() {
  gzip_.resize(libdeflate_gzip_compress_bound(compressor_.get(), body_.size()));
  const size_t bytes =
      libdeflate_gzip_compress(compressor_.get(), body_.data(), body_.size(), gzip_.data(), gzip_.size());
  WEIR_CHECK(bytes > 0);
  return {gzip_.data(), bytes};
}

void HttpRequest::make(const HttpRequestHead& head, const BatchView& batch, Position first, Position last,
                       std::string_view key) {
  parts_.clear(), runs_.clear();
  head_.clear(), let_go(body_);
  if (gzip_.capacity() > kKeptBufferBytes) let_go(gzip_);
  collect_runs(batch, first, last, runs_);
  WEIR_CHECK(!runs_.empty());
  if (format_ == HttpFormat::ndjson && !compressor_) {
    uint64_t bytes = 0;
    for (std::string_view run : runs_) bytes += run.size();
    head.append(head_, bytes, key);
    const bool copied = bytes <= kCopiedBytesMax;
    if (copied)
      for (std::string_view run : runs_) head_ += run;
    parts_.push_back(head_);
    if (!copied) parts_.insert(parts_.end(), runs_.begin(), runs_.end());
    return;
  }
  if (format_ == HttpFormat::json_array) body_ += '[';
  for (std::string_view run : runs_) body_ += run;
  if (format_ == HttpFormat::json_array) {
    // A record holds no line feed of its own, so each one is the end of a record.
    std::replace(body_.begin(), body_.end(), '\n', ',');
    body_.back() = ']';
  }
  const std::string_view body = compressor_ ? compressed() : std::string_view(body_);
  head.append(head_, body.size(), key);
  if (body.size() <= kCopiedBytesMax) head_ += body;
  parts_.push_back(head_);
  if (body.size() > kCopiedBytesMax) parts_.push_back(body);
}

}  // namespace weir
