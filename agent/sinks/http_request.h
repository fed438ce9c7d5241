#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/options.h"
#include "agent/journal/journal.h"
#include "agent/net/connector.h"

struct libdeflate_compressor;

namespace weir {

enum class HttpFormat { ndjson, json_array };

/// What all requests of a sink have in common.
class HttpRequestHead {
 public:
  /// `authorization`: the value of that header, empty: none.
  HttpRequestHead(const HttpEndpoint& endpoint, const SecretMap& headers, const std::string& authorization,
                  HttpFormat format, bool gzip);
  /// Up to the empty line.
  void append(std::string& out, uint64_t body_bytes, std::string_view idempotency_key) const;

 private:
  std::string text_;
};

/// The bytes of one request: head and body, the body in the journal's own memory where that is possible.
/// Used again and again; the batch must outlive the sending.
class HttpRequest {
 public:
  HttpRequest(HttpFormat format, bool gzip);
  ~HttpRequest();
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  /// The records of the batch from ordinal `first` to `last` (counted from 1).
  void make(const HttpRequestHead& head, const BatchView& batch, Position first, Position last,
            std::string_view idempotency_key);
  const std::vector<std::string_view>& parts() const { return parts_; }

 private:
  struct Free {
    void operator()(libdeflate_compressor* compressor) const;
  };
  std::string_view compressed();

  HttpFormat format_;
  std::unique_ptr<libdeflate_compressor, Free> compressor_;  // null: not compressed
  std::string head_, body_, gzip_;
  std::vector<std::string_view> parts_, runs_;
};

}  // namespace weir
