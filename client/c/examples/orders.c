/* The same pipeline as client/cpp/examples/orders.cpp, in C. Run it beside an agent, and look: weir tail
 * trace */
#include <stdio.h>
#include <string.h>

#define WEIR_C_LOGGER "orders"
#include "weir.h"

struct order {
  const char *id, *trace, *article;
  int quantity;
};

static weir_counter* handled;
static weir_histogram* total;

static weir_step* begin(const char* name, const struct order* order, int index) {
  weir_step* step = weir_step_begin(name);
  weir_step_trace_id(step, order->trace);
  weir_step_scenario(step, "orders");
  weir_step_index(step, index);
  return step;
}

static void decode(const struct order* order) {
  weir_step* step = begin("decode", order, 0);
  weir_step_msg_in(step, "OrderBytes", NULL, NULL);
  weir_step_msg_out(step, "Order", order->id, NULL);
  weir_step_ctx(step, weir_text("order_id", order->id));
  weir_step_ctx(step, weir_i64("quantity", order->quantity));
  weir_step_ctx(step, weir_text("decision", "new"));
  weir_step_end(step);
}

/* 0: there is no price. */
static int price(const struct order* order, double* sum) {
  weir_step* step = begin("price", order, 1);
  int found = strcmp(order->article, "unknown") != 0;
  weir_step_msg_in(step, "Order", order->id, NULL);
  *sum = 12.5 * order->quantity;
  if (found) {
    weir_step_msg_out(step, "PricedOrder", order->id, NULL);
    weir_step_ctx_set(step, weir_f64("total", *sum));
  } else {
    weir_step_ctx_set(step, weir_text("decision", "failed"));
    weir_step_error(step, "PriceNotFound", "no price for article 'unknown'", __FILE__, NULL);
  }
  weir_step_end(step);
  return found;
}

static void publish(const struct order* order) {
  weir_step* step = begin("publish", order, 2);
  weir_span* span = weir_span_begin("write to the outbox");
  weir_step_msg_in(step, "PricedOrder", order->id, NULL);
  weir_step_msg_out(step, "OrderDecided", order->id, NULL);
  weir_step_ctx_set(step, weir_text("decision", "approved"));
  weir_step_ctx_unset(step, "quantity");
  weir_span_set(span, weir_i64("bytes", 512));
  weir_span_set(span, weir_bool("durable", 1));
  weir_log(WEIR_LEVEL_DEBUG, "{bytes} bytes written", weir_i64("bytes", 512));
  weir_span_end(span);
  weir_step_end(step);
}

static void handle(const struct order* order) {
  double sum;
  weir_correlation_set(order->id);
  weir_ingress("orders.in", "OrderBytes", order->trace);
  weir_log(WEIR_LEVEL_INFO, "order {id} received", weir_text("id", order->id),
           weir_i64("quantity", order->quantity));
  decode(order);
  if (price(order, &sum)) {
    weir_histogram_record(total, sum);
    publish(order);
    weir_egress("orders.out", "OrderDecided", order->trace);
  } else {
    weir_log(WEIR_LEVEL_ERROR, "order {id} failed: {why}", weir_text("id", order->id),
             weir_text("why", "no price"));
    weir_monitor("orders.failed", "warning", "firing", 1, 0, "an order could not be priced");
  }
  weir_counter_add(handled, 1);
  weir_correlation_set(NULL);
}

int main(void) {
  const weir_arg shop = weir_text("shop", "north");
  const struct order good = {"o-1", "8d3c1b7a20f94e5f9c60aa5d71e24736", "gauge", 3};
  const struct order bad = {"o-2", "8d3c1b7a20f94e5f9c60aa5d71e24737", "unknown", 1};
  weir_configure("orders", NULL, NULL);
  handled = weir_counter_new("orders.handled", "1", &shop, 1);
  total = weir_histogram_new("orders.total", "EUR", NULL, 0);
  handle(&good);
  handle(&bad);
  if (!weir_flush(2000)) {
    char why[256];
    weir_last_error(why, sizeof why);
    fprintf(stderr, "orders: the agent is away (%s); the program ran all the same\n", why);
  }
  return 0;
}
