// Uses nothing of the client but what writes records: its last ones still go out.
#include "weir/weir.h"

static weir::Counter handled("at_exit.handled");

int main() {
  weir::Span span("at exit");
  span.set("order", "o-1");
  WEIR_INFO("order {id} accepted", weir::arg("id", "o-1"));
  handled.add();
}
