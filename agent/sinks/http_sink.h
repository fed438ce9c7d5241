#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/net/http_connection.h"
#include "agent/net/stop_signal.h"
#include "agent/sinks/http_answer.h"
#include "agent/sinks/http_request.h"
#include "agent/sinks/request_plan.h"
#include "agent/sinks/secret_mask.h"
#include "agent/sinks/sink.h"

namespace weir {

/// Forwards records over HTTP or HTTPS (delivery.md section 2; docs/decisions/0005-http-sink.md). A batch
/// becomes up to `in_flight` requests, each on a connection of its own, all driven from the sink's worker by
/// poll(2). With one in flight the order is kept.
class HttpSink final : public Sink {
 public:
  HttpSink(const Settings& settings, const SinkContext& context);
  ~HttpSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  void close() noexcept override { lanes_.clear(); }
  BatchLimits batch_limits() const override;
  Backoff backoff() const override;
  void restore(SinkMemory memory) override;
  std::string state() const override;

 private:
  /// A connection, and the request that is on it.
  struct Lane {
    Lane(const HttpEndpoint& endpoint, const Clock& clock, HttpFormat format, bool gzip)
        : connection(endpoint, clock), request(format, gzip) {}
    HttpConnection connection;
    HttpRequest request;
    Position first = 0;  ///< of the request
  };
  /// The worst of what came back in a delivery.
  struct Trouble {
    Delivery::Kind kind = Delivery::Kind::delivered;
    std::string error;
    int64_t retry_after_ns = 0;
    void add(Delivery::Kind more, std::string text, int64_t wait_ns);
  };
  void keep_bounds();
  void start_requests(const BatchView& batch);
  bool any_busy() const;
  void wait(int stop_fd, int64_t until_ns);
  void take_outcome(Lane& lane, Trouble& trouble);
  std::string key_base(StreamSet streams) const;

  const Settings settings_;
  const Clock& clock_;
  const std::string name_, journal_uuid_;
  const HttpFormat format_;
  const bool gzip_;
  SecretMask mask_;
  std::string authorization_;
  HttpEndpoint endpoint_;
  std::optional<HttpRequestHead> head_;
  RequestPlan plan_;
  std::function<bool(bool)> keep_;  ///< SinkMemory::keep
  uint64_t epoch_ = 0;      ///< changes when the journal may have lost what was sent; part of the keys
  Position kept_upto_ = 0;  ///< the requests up to this ordinal are in the checkpoint
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<pollfd> polled_;
  std::string key_base_, key_;  ///< `<uuid>-`, and a whole key
  StreamSet key_streams_;
  int64_t last_start_ns_ = 0;  ///< of a request
};

/// The sink's certificates. Error: the file and what is wrong with it.
Result<std::shared_ptr<Tls>> http_tls(const Settings& settings);

/// Where it sends to, with the proxy that the environment names.
Result<HttpEndpoint> http_endpoint(const Settings& settings);

extern const SinkType kHttpSinkType;

}  // namespace weir
