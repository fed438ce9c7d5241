#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <optional>
#include <string>

#include "agent/core/stream.h"
#include "agent/journal/journal.h"
#include "agent/process/expression.h"

namespace weir {

/// What `GET /v1/tail` asks for.
struct TailRequest {
  StreamSet streams = StreamSet::all();
  std::optional<Expression> where;
  std::optional<size_t> last;  ///< show the last n that match first
  bool follow = true;
};

/// Reads a tail request's query string; an error names the parameter.
Result<TailRequest> parse_tail_request(std::string_view target);

/// Writes server-sent events until the reader goes away, or at once what there is when not following. Reads
/// the journal by a cursor that never blocks anything; what it was too slow for is told as `event: skipped`.
boost::asio::awaitable<void> stream_tail(boost::asio::local::stream_protocol::socket& socket,
                                         TailRequest request, Journal& journal);

}  // namespace weir
