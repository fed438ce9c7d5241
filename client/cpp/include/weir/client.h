#pragma once
// The process's connection to the agent. Nothing has to be called: the first record starts a thread that
// finds the agent, hands it the rings, and goes on looking for it while it is away.
#include <chrono>
#include <cstdint>
#include <string>

namespace weir {

struct Options {
  std::string service;  ///< name of this program, a member of each record; empty: its file's name
  /// unix:PATH (or a path alone), tcp:HOST:PORT. Empty: $WEIR_ADDRESS, $WEIR_SOCKET, else the agent's default
  /// place.
  std::string address;
  std::string ack = "received";  ///< none, received, buffered or durable: when frames count as delivered
  /// Of each thread: a power of two, 64 KiB to 16 MiB. 256 KiB become 1 MiB where records found no room.
  uint64_t ring_bytes = 256 << 10;
};

enum class Transport { none, frames, ring, lines };

struct Stats {
  Transport transport = Transport::none;  ///< none: the agent is away; lines: it is of another version
  uint64_t rings = 0;                     ///< threads that have written, and are not let go of yet
  uint64_t dropped = 0;                   ///< records that found no room, in all
  uint64_t sent = 0, acknowledged = 0;    ///< records of frames and lines; rings the agent reads itself
  uint64_t rejected = 0;                  ///< refused by the agent
  uint64_t connections = 0;               ///< how often the agent has answered
};

/// From the next connection on; rings that exist stay as they are. Values that are none (an odd capacity, an
/// unknown ack) are replaced by the default. Any thread.
void configure(const Options& options) noexcept;

/// Writes the counters, and waits until the agent has everything that was written before (frames:
/// acknowledged; rings: taken over, proto/RING.md). False: not within `timeout`; nothing is lost by that. Any
/// thread.
bool flush(std::chrono::milliseconds timeout) noexcept;

Stats stats() noexcept;

/// Why the agent is away, for a person: its address, and what came of the last try. Empty: it is there, or no
/// record was written yet.
std::string last_error();

/// While one lives, each record of its thread that finds no room waits for it, at most 1 ms, before it is
/// dropped: for what is worth that. An agent that is away is not waited for. Destroyed by the thread that
/// made it.
class WaitForRoom {
 public:
  WaitForRoom() noexcept;
  ~WaitForRoom();
  WaitForRoom(const WaitForRoom&) = delete;
  WaitForRoom& operator=(const WaitForRoom&) = delete;
};

}  // namespace weir
