#include "agent/app/tail_stream.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <deque>

#include "agent/app/query.h"
#include "agent/ingest/intake_gate.h"

namespace weir {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr auto kKeepAlive = std::chrono::seconds(10);
constexpr size_t kLastMax = 1'000'000;
constexpr size_t kLastBytesMax = 64 << 20;

/// The head, and then one chunk per write (RFC 9112 section 7.1).
constexpr std::string_view kHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: "
    "chunked\r\n"
    "Connection: close\r\n\r\n";

asio::awaitable<bool> write_chunk(asio::local::stream_protocol::socket& socket, const std::string& events) {
  if (events.empty()) co_return true;
  char size[20];
  int n = std::snprintf(size, sizeof size, "%zx\r\n", events.size());
  std::array<asio::const_buffer, 3> parts{asio::buffer(size, size_t(n)), asio::buffer(events),
                                          asio::buffer("\r\n", 2)};
  auto [error, bytes] = co_await asio::async_write(socket, parts, kAwait);
  co_return !error;
}

void append_event(std::string& events, std::string_view line) {
  events += "data: ";
  events += line.substr(0, line.size() - 1);
  events += "\n\n";
}

/// Collects the last n records that match, from the oldest on the tape up to now.
asio::awaitable<std::string> collect_last(Cursor& cursor, const TailRequest& request, Position now) {
  std::deque<std::string> last;
  size_t bytes = 0;
  BatchView batch;
  while (cursor.status().position < now && cursor.next(batch, {}, 0, {})) {
    batch.for_each([&](std::string_view line, Stream) {
      if (request.where && !request.where->matches(line)) return;
      last.emplace_back(line);
      bytes += line.size();
      while (last.size() > *request.last || bytes > kLastBytesMax)
        bytes -= last.front().size(), last.pop_front();
    });
    cursor.commit(batch);
    co_await asio::post(co_await asio::this_coro::executor, kAwait);
  }
  std::string events;
  for (const std::string& line : last) append_event(events, line);
  co_return events;
}

}  // namespace

Result<TailRequest> parse_tail_request(std::string_view target) {
  TailRequest request;
  for (const auto& [key, value] : query_of(target)) {
    if (key == "stream" && !value.empty()) {
      auto stream = parse_stream(value);
      if (!stream) return fail("stream: unknown; use trace, log, telemetry or monitoring");
      request.streams = {*stream};
    } else if (key == "where" && !value.empty()) {
      auto where = Expression::compile(value);
      if (!where)
        return fail("where:1:" + std::to_string(where.error().column) + ": " + where.error().message);
      request.where = std::move(*where);
    } else if (key == "n" && !value.empty()) {
      size_t n = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
      if (error != std::errc() || end != value.data() + value.size() || n > kLastMax)
        return fail("n: must be an integer from 0 to " + std::to_string(kLastMax));
      request.last = n;
    } else if (key == "follow") {
      request.follow = value != "0" && value != "false";
    }
  }
  return request;
}

asio::awaitable<void> stream_tail(asio::local::stream_protocol::socket& socket, TailRequest request,
                                  Journal& journal) {
  auto cursor = journal.open_cursor("", request.streams, request.last ? StartAt::oldest : StartAt::end,
                                    WhenFull::drop_oldest);
  auto [error, bytes] = co_await asio::async_write(socket, asio::buffer(kHead), kAwait);
  if (error) co_return;
  if (request.last) {
    std::string events = co_await collect_last(*cursor, request, journal.written());
    if (!co_await write_chunk(socket, events)) co_return;
  }
  asio::steady_timer timer(socket.get_executor());
  auto last_write = std::chrono::steady_clock::now();
  uint64_t skipped = cursor->status().dropped_lag;
  BatchView batch;
  while (request.follow) {
    std::string events;
    if (cursor->next(batch, {}, 0, {})) {
      if (uint64_t dropped = cursor->status().dropped_lag; dropped > skipped) {
        events += "event: skipped\ndata: " + std::to_string(dropped - skipped) + "\n\n";
        skipped = dropped;
      }
      batch.for_each([&](std::string_view line, Stream) {
        if (!request.where || request.where->matches(line)) append_event(events, line);
      });
      cursor->commit(batch);
      batch.slices.clear();                                // a slow reader must not keep blocks alive
      co_await asio::post(socket.get_executor(), kAwait);  // a busy flow must not hold up status and health
    } else {
      timer.expires_after(kPoll);
      co_await timer.async_wait(kAwait);
      // A reader that has gone shows only when something is written.
      if (std::chrono::steady_clock::now() - last_write > kKeepAlive) events = ": still here\n\n";
    }
    if (events.empty()) continue;
    last_write = std::chrono::steady_clock::now();
    if (!co_await write_chunk(socket, events)) co_return;
  }
  co_await asio::async_write(socket, asio::buffer("0\r\n\r\n", 5), kAwait);
}

}  // namespace weir
