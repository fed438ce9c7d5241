// A pipeline that handles two orders in steps; the second one fails. Run it beside an agent, and look:
//   weir tail trace
#include <cstdio>
#include <stdexcept>
#include <string>

#define WEIR_LOGGER "orders"
#include "weir/weir.h"

namespace {

weir::Counter handled("orders.handled", "1", {{"shop", "north"}});
weir::Histogram total("orders.total", "EUR");

struct Order {
  std::string id, trace, article;
  int quantity;
};

weir::Step& begin(weir::Step& step, const Order& order, int index) {
  return step.trace_id(order.trace).scenario("orders").index(index);
}

void decode(const Order& order) {
  weir::Step step("decode");
  begin(step, order, 0).msg_in({"OrderBytes"}).msg_out({"Order", order.id});
  step.ctx("order_id", order.id).ctx("quantity", order.quantity).ctx("decision", "new");
}

double price(const Order& order) {
  weir::Step step("price");
  begin(step, order, 1).msg_in({"Order", order.id});
  if (order.article == "unknown") {
    step.ctx_set("decision", "failed");
    step.error("PriceNotFound", "no price for article 'unknown'", WEIR_HERE);
    throw std::runtime_error("no price");
  }
  const double sum = 12.5 * order.quantity;
  step.msg_out({"PricedOrder", order.id}).ctx_set("total", sum);
  return sum;
}

void publish(const Order& order) {
  weir::Step step("publish");
  begin(step, order, 2).msg_in({"PricedOrder", order.id}).msg_out({"OrderDecided", order.id});
  step.ctx_set("decision", "approved").ctx_unset("quantity");
  weir::Span span("write to the outbox");
  span.set("bytes", 512).set("durable", true);
  WEIR_DEBUG("{bytes} bytes written", weir::arg("bytes", 512));
}

void handle(const Order& order) {
  const weir::CorrelationScope scope(order.id);
  weir::ingress("orders.in", {"OrderBytes"}, order.trace);
  WEIR_INFO("order {id} received", weir::arg("id", order.id), weir::arg("quantity", order.quantity));
  try {
    decode(order);
    total.record(price(order));
    publish(order);
    weir::egress("orders.out", {"OrderDecided"}, order.trace);
  } catch (const std::exception& fault) {
    WEIR_ERROR("order {id} failed: {why}", weir::arg("id", order.id), weir::arg("why", fault.what()));
    weir::monitor({"orders.failed", "warning", "firing", "an order could not be priced", 1, 0});
  }
  handled.add();
}

}  // namespace

int main() {
  weir::Options options;
  options.service = "orders";
  weir::configure(options);
  handle({"o-1", "4bf92f3577b34da6a3ce929d0e0e4736", "gauge", 3});
  handle({"o-2", "4bf92f3577b34da6a3ce929d0e0e4737", "unknown", 1});
  if (!weir::flush(std::chrono::seconds(2)))
    std::fprintf(stderr, "orders: the agent is away (%s); the program ran all the same\n",
                 weir::last_error().c_str());
}
