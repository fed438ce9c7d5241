#include "agent/app/sink_control.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/core/options.h"
#include "agent/ingest/intake_gate.h"
#include "agent/sinks/common_options.h"

namespace weir {
namespace {

namespace http = boost::beast::http;
using Json = nlohmann::ordered_json;
using Steady = std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(5);
constexpr int64_t kTimeout = 5'000'000'000, kTimeoutMax = 3'600'000'000'000;

Result<Steady::time_point> deadline_of(const std::string& body) {
  constexpr const char* kForm = R"(the body must be empty, or an object such as {"timeout":"5s"})";
  int64_t timeout_ns = kTimeout;
  if (!body.empty()) {
    const auto json = nlohmann::json::parse(body, nullptr, false);
    if (!json.is_object()) return fail(kForm);
    for (const auto& [key, value] : json.items()) {
      if (key != "timeout") return fail("unknown key " + key + ": " + kForm);
      if (!value.is_string()) return fail(std::string("timeout is a text with a unit: ") + kForm);
      auto parsed = parse_duration_ns(value.get<std::string>());
      if (!parsed) return fail("timeout: " + parsed.error().message);
      if (*parsed < 0 || *parsed > kTimeoutMax) return fail("timeout: from 0s to 1h");
      timeout_ns = *parsed;
    }
  }
  return Steady::now() + std::chrono::nanoseconds(timeout_ns);
}

ControlResponse counts(const ControlRequest& request, const SinkStatus& s, Json more) {
  Json body = {
      {"sink", s.name},           {"state", s.state},
      {"delivered", s.delivered}, {"lag_records", s.lag_records},
      {"lag_bytes", s.lag_bytes}, {"last_error", s.last_error.empty() ? Json(nullptr) : Json(s.last_error)}};
  body.update(more);
  return answer(request, http::status::ok, body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

ControlResponse no_sink(const ControlRequest& request, Topology& topology, const std::string& name) {
  if (topology.find_sink(name))
    return problem(request, http::status::conflict,
                   "sink " + name + " is not in the configuration any more: it only delivers what it has");
  return problem(request, http::status::not_found, unknown_text("sink", name, topology.sink_names()));
}

/// What a pause means for others, which is not the same for every sink.
Json waiting_json(const Settings& options) {
  const LagLimit limit = lag_limit_of(options);
  const bool blocks = limit.when_full == WhenFull::block;
  const bool own_limit = limit.max_lag_bytes != UINT64_MAX;
  const std::string when = own_limit ? "when more than max_lag_bytes wait for it, or the journal is full, "
                                     : "when the journal is full, ";
  return {{"when_full", blocks ? "block" : "drop_oldest"},
          {"max_lag_bytes", own_limit ? Json(limit.max_lag_bytes) : Json(nullptr)},
          {"message", "its records wait in the journal; " + when +
                          (blocks ? "producers are held up until it goes on"
                                  : "the oldest of them are dropped and counted")}};
}

/// One request, looked at again and again until there is an answer: a reload may put another runner in the
/// place of the sink's.
class SinkRequest {
 public:
  SinkRequest(Topology& topology, const ControlRequest& request, std::string sink,
              Steady::time_point deadline)
      : topology_(topology),
        request_(request),
        sink_(std::move(sink)),
        deadline_(deadline),
        upto_(topology.journal().end()) {}

  std::optional<ControlResponse> resume() {
    const auto runner = topology_.set_paused(sink_, false) ? topology_.find_sink(sink_) : nullptr;
    if (!runner) return no_sink(request_, topology_, sink_);
    return counts(request_, runner->status(), {{"result", "resumed"}});
  }

  /// Answers when it has let go of its output.
  std::optional<ControlResponse> pause() {
    if (!options_ && !(options_ = topology_.set_paused(sink_, true)))
      return no_sink(request_, topology_, sink_);
    const auto runner = topology_.find_sink(sink_);
    if (!runner) return no_sink(request_, topology_, sink_);
    const SinkStatus s = runner->status();
    if (s.state != "paused") return counts(request_, s, {{"result", "resumed"}});  // by somebody else
    if (!s.resting && !late()) return std::nullopt;
    Json more = {{"result", s.resting ? "paused" : "timeout"}};
    more.update(waiting_json(*options_));
    if (!s.resting) more["message"] = "the batch it has is still under way; it takes no other";
    return counts(request_, s, std::move(more));
  }

  /// Answers when what is routed to it by now is delivered, and safe there.
  std::optional<ControlResponse> flush() {
    const auto runner = topology_.find_sink(sink_);
    if (!runner && !asked_) return no_sink(request_, topology_, sink_);
    if (runner && runner != asked_) (asked_ = runner)->flush_upto(upto_);
    const SinkStatus s = asked_->status();
    const bool flushed = s.flushed >= upto_ || (!runner && s.lag_records == 0);
    const char* const result = flushed               ? "flushed"
                               : !runner             ? "removed"
                               : s.state == "paused" ? "paused"
                               : late()              ? "timeout"
                                                     : nullptr;
    if (!result) return std::nullopt;
    return counts(request_, s, {{"result", result}});
  }

 private:
  bool late() const { return Steady::now() >= deadline_; }

  Topology& topology_;
  const ControlRequest& request_;
  const std::string sink_;
  const Steady::time_point deadline_;
  const Position upto_;
  std::optional<Settings> options_;
  std::shared_ptr<SinkRunner> asked_;
};

struct Action {
  std::string_view name;
  std::optional<ControlResponse> (SinkRequest::*look)();
};
constexpr Action kActions[] = {
    {"pause", &SinkRequest::pause}, {"resume", &SinkRequest::resume}, {"flush", &SinkRequest::flush}};

}  // namespace

asio::awaitable<ControlResponse> control_sink(asio::io_context& io, Topology& topology,
                                              const ControlRequest& request, std::string_view path) {
  path.remove_prefix(kSinksPath.size());
  const size_t slash = std::min(path.rfind('/'), path.size());
  const std::string action(path.substr(std::min(slash + 1, path.size())));
  const auto known = std::ranges::find(kActions, action, &Action::name);
  if (known == std::end(kActions)) {
    std::vector<std::string> names;
    for (const Action& a : kActions) names.emplace_back(a.name);
    co_return problem(request, http::status::not_found, unknown_text("action", action, names));
  }
  if (request.method() != http::verb::post) co_return wrong_method(request, "POST");
  auto deadline = deadline_of(request.body());
  if (!deadline) co_return problem(request, http::status::bad_request, deadline.error().message);
  SinkRequest asked(topology, request, std::string(path.substr(0, slash)), *deadline);
  asio::steady_timer timer(io);
  for (;;) {
    if (auto answer = (asked.*known->look)()) co_return std::move(*answer);
    timer.expires_after(kPoll);
    co_await timer.async_wait(kAwait);
  }
}

}  // namespace weir
