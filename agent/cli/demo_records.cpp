#include "agent/cli/demo_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/core/clock.h"

namespace weir::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kMs = 1'000'000;

struct Step {
  const char* name;
  double ms;
  Json changed;  ///< of the context
  const char* message_out;
};

class Demo {
 public:
  Demo(int64_t start_ns, const std::function<uint64_t()>& random) : start_ns_(start_ns), random_(random) {}

  std::vector<DemoRecord> records() {
    order(0, "order-1001", "Ada", 3, 59.70);
    order(650, "order-1002", "Grace", 500, 9950.00);
    failing_order(1250, "order-1003", "Linus");
    surroundings();
    std::stable_sort(records_.begin(), records_.end(),
                     [](const auto& a, const auto& b) { return a.at_ns < b.at_ns; });
    return std::move(records_);
  }

 private:
  void order(int64_t at_ms, const std::string& id, const std::string& customer, int quantity, double total) {
    const bool small = total < 1000;
    begin(at_ms, id, customer);
    step({"validate", 4.2, {{"valid", true}}, "ValidOrder"});
    step({"price", 12.3, {{"total", total}, {"currency", "EUR"}}, "PricedOrder"}, {{"quantity", quantity}});
    step({"decide", 2.8, {{"decision", small ? "approved" : "needs-review"}}, "Decision"});
    log(small ? "info" : "warn", small ? "order approved" : "order is large, a person has to look at it",
        {{"total", total}});
    step({"publish", 7.9, {{"published", true}}, "OrderDecided"});
    end("OrderDecided");
  }

  void failing_order(int64_t at_ms, const std::string& id, const std::string& customer) {
    begin(at_ms, id, customer);
    step({"validate", 3.6, {{"valid", true}}, "ValidOrder"});
    step({"price", 41.7, {{"decision", "failed"}}, nullptr}, {},
         {{"type", "PriceNotFound"},
          {"message", "no price for article 'weir-gauge'"},
          {"where", "pricing.py:87"}});
    log("error", "order could not be priced", {{"article", "weir-gauge"}});
  }

  void begin(int64_t at_ms, const std::string& id, const std::string& customer) {
    now_ = at_ms * kMs;
    order_ = id;
    trace_ = fmt::format("{:016x}{:016x}", random_(), random_());
    step_index_ = 0;
    Json record = head("trace");
    record.update({{"kind", "ingress"},
                   {"t_enter", time(now_)},
                   {"step_name", "orders.in"},
                   {"status", "ok"},
                   {"msg_in", {{"type_name", "OrderBytes"}}}});
    push(std::move(record));
    log("info", "order received", {{"customer", customer}});
    step({"decode", 1.4, {{"order_id", id}, {"customer", customer}, {"decision", "new"}}, "Order"});
  }

  /// Sends the keys it changed only: the agent remembers the rest and derives before, after and diff.
  void step(const Step& s, const Json& attributes = {}, const Json& error = {}) {
    Json record = head("trace");
    const int64_t exit = now_ + int64_t(s.ms * double(kMs));
    record.update({{"step_index", step_index_},
                   {"step_name", s.name},
                   {"t_enter", time(now_)},
                   {"t_exit", time(exit)},
                   {"duration_ms", s.ms},
                   {"status", error.empty() ? "ok" : "error"}});
    if (s.message_out) record["msg_out"] = Json::array({{{"type_name", s.message_out}}});
    record[step_index_++ == 0 ? "ctx" : "ctx_set"] = s.changed;
    if (!attributes.empty()) record["attributes"] = attributes;
    if (!error.empty()) record["error"] = error;
    now_ = exit;
    push(std::move(record));
    now_ += 70 * kMs;  // the next step's queue; also slow enough to watch
  }

  void end(const char* type) {
    Json record = head("trace");
    record.update({{"kind", "egress"},
                   {"t_enter", time(now_)},
                   {"step_name", "orders.out"},
                   {"status", "ok"},
                   {"msg_out", Json::array({{{"type_name", type}}})}});
    push(std::move(record));
  }

  void log(const char* level, const char* message, const Json& attributes) {
    Json record = head("log");
    record.update({{"ts", time(now_)},
                   {"level", level},
                   {"message", message},
                   {"correlation_id", order_},
                   {"attributes", attributes}});
    push(std::move(record));
  }

  /// What is not about one message.
  void surroundings() {
    trace_.clear();
    for (auto [at_ms, depth] : {std::pair(300, 2), {900, 5}, {1500, 9}}) {
      now_ = at_ms * kMs;
      Json record = head("telemetry");
      record.update({{"ts", time(now_)},
                     {"type", "gauge"},
                     {"name", "queue.depth"},
                     {"value", depth},
                     {"unit", "orders"},
                     {"attributes", {{"queue", "orders.in"}}}});
      push(std::move(record));
    }
    now_ = 1750 * kMs;
    Json counter = head("telemetry");
    counter.update({{"ts", time(now_)},
                    {"type", "counter"},
                    {"name", "orders.handled"},
                    {"value", 3},
                    {"unit", "orders"}});
    push(std::move(counter));
    now_ = 1900 * kMs;
    Json alert = head("monitoring");
    alert.update({{"ts", time(now_)},
                  {"severity", "warning"},
                  {"rule", "orders-error-rate"},
                  {"state", "firing"},
                  {"value", 0.33},
                  {"threshold", 0.05},
                  {"message", "a third of the orders fail"}});
    push(std::move(alert));
  }

  Json head(const char* stream) const {
    Json record{{"stream", stream}, {"service", "orders"}};
    if (!trace_.empty()) record["trace_id"] = trace_;
    return record;
  }
  std::string time(int64_t at_ns) const { return rfc3339(start_ns_ + at_ns); }
  void push(Json record) { records_.push_back({now_, record.dump() + "\n"}); }

  const int64_t start_ns_;
  const std::function<uint64_t()>& random_;
  int64_t now_ = 0;
  int step_index_ = 0;
  std::string order_, trace_;
  std::vector<DemoRecord> records_;
};

}  // namespace

std::vector<DemoRecord> demo_records(int64_t start_ns, const std::function<uint64_t()>& random) {
  return Demo(start_ns, random).records();
}

}  // namespace weir::cli
