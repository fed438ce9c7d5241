#pragma once
#include <memory>
#include <string>

#include "agent/ingest/session.h"
#include "agent/ingest/source.h"

namespace weir {

/// A bound, listening, non-blocking socket.
struct ListenSocket {
  int fd = -1;
  std::string address;      ///< `unix:/path` or `tcp:127.0.0.1:4320`
  std::string unlink_path;  ///< removed at the end, if it is still this socket
};

/// One kind of listener: how it is opened, and which options belong to its address.
struct ListenerType {
  ComponentType type;
  std::string_view address_option;  ///< two listeners of one kind with the same value are the same socket
  Result<ListenSocket> (*open)(const Settings& settings);
  /// What open() would fail at, as far as one sees without it.
  Result<void> (*check)(const Settings& settings);
  /// Applies changed rights to the open socket; null where there are none.
  Result<void> (*change)(const Settings& settings);
  std::shared_ptr<Session> (*make_session)(IngestContext& context, FrameHandler& handler,
                                           std::unique_ptr<ByteStream> stream, Producer producer,
                                           const Settings& settings);
};

const std::vector<ListenerType>& listener_types();
const ListenerType* find_listener_type(std::string_view name);

/// A source of stream connections; each becomes a Session. `before` listens at this address until it is
/// stopped: its socket is shared, so that nobody is refused in between.
std::shared_ptr<Source> make_listener(const ListenerType& type, std::string name, const Settings& settings,
                                      IngestContext& context, std::shared_ptr<Source> before = nullptr);

}  // namespace weir
