#include "agent/cli/connector.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

namespace weir::cli {

Result<void> Connector::start() {
  auto event = std::make_shared<Fd>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (event->get() < 0) return fail(std::strerror(errno));
  std::promise<Result<Fd>> promise;
  result_ = promise.get_future();
  try {
    std::thread([address = address_, event, promise = std::move(promise)]() mutable {
      promise.set_value(connect_ingest(address));
      eventfd_write(event->get(), 1);
    }).detach();
  } catch (const std::system_error& error) {
    return fail(error.what());
  }
  event_ = std::move(event);
  return {};
}

Result<Fd> Connector::take() {
  event_.reset();
  return result_.get();
}

}  // namespace weir::cli
