"""Orders through a pipeline of four steps; one of them fails. What happened to each shows in the agent:

    weir agent &                                    # or ./dev run
    PYTHONPATH=client/python python3 client/python/examples/orders.py
    weir tail trace -n 20 --no-follow

$WEIR_SOCKET says where the agent is. Ends with 1 if the agent did not acknowledge everything within five seconds.
"""
from __future__ import annotations

import dataclasses
import logging
import sys
from decimal import Decimal
from typing import Any, Dict, List

import weir

Context = Dict[str, Any]
log = logging.getLogger("orders")


@dataclasses.dataclass
class Order:
    id: str
    customer: str
    items: List[str]


PRICES = {"tea": Decimal("3.50"), "book": Decimal("12.00"), "piano": Decimal("9800.00")}
LIMIT = Decimal("1000")


@weir.step("validate", ctx=lambda order, ctx: ctx, message=lambda order, ctx: order)
def validate(order: Order, ctx: Context) -> Order:
    unknown = [item for item in order.items if item not in PRICES]
    ctx["valid"] = not unknown
    if unknown:
        log.warning("not in the catalogue: %s", ", ".join(unknown))
        order.items = [item for item in order.items if item in PRICES]
    return order


@weir.step("price", ctx=lambda order, ctx: ctx, message=lambda order, ctx: order)
def price(order: Order, ctx: Context) -> Order:
    with weir.span("catalogue.lookup", kind="client", attributes={"items": len(order.items)}):
        ctx["total"] = sum((PRICES[item] for item in order.items), Decimal(0))
    return order


@weir.step("approve", ctx=lambda order, ctx: ctx, message=lambda order, ctx: order)
def approve(order: Order, ctx: Context) -> Order:
    ctx["decision"] = "refused" if ctx["total"] > LIMIT else "approved"
    if ctx["decision"] == "refused":
        raise PermissionError("%s is more than %s may spend" % (ctx["total"], order.customer))
    return order


@weir.step("ship", ctx=lambda order, ctx: ctx, message=lambda order, ctx: order)
def ship(order: Order, ctx: Context) -> Order:
    ctx["parcel"] = "P-" + order.id
    log.info("shipped in %s", ctx["parcel"])
    return order


def process(order: Order) -> bool:
    """One order, one trace; the order's id is the correlation id."""
    context = weir.correlation_manager.child_context(weir.Context(correlation_id=order.id))
    with weir.correlation_manager.activate(context):
        ctx: Context = {"order_id": order.id, "decision": "new"}
        weir.ingress("shop", order)
        try:
            for step in (validate, price, approve, ship):
                order = step(order, ctx)
        except PermissionError as error:
            log.error("order %s: %s", order.id, error)
            weir.monitor("orders.refused", severity="info", message=str(error))
            return False
        weir.egress("carrier", order)
        return True


def main() -> int:
    client = weir.connect(service="orders")
    log.addHandler(weir.LoggingHandler())
    log.setLevel(logging.INFO)
    done = weir.counter("orders_total", ("outcome",))
    for order in (Order("1001", "ada", ["tea", "book"]), Order("1002", "bob", ["tea", "piano"]), Order("1003", "cyd", ["tea", "yeti"])):
        done.inc(outcome="shipped" if process(order) else "refused")
    complete = client.flush(5)
    print("%(acknowledged)d records acknowledged, %(queued)d not" % client.stats())
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
