#pragma once
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>

#include "agent/core/options.h"
#include "agent/ingest/session.h"

namespace weir {

/// One connection of the `http` listener (docs/decisions/0007-http-source.md): requests one after the other,
/// each a POST of NDJSON or of a JSON array. Limits: security.md, "HTTP server side".
class HttpSession final : public Session {
 public:
  HttpSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
              Producer producer, const Settings& settings);
  ~HttpSession() override { hold(0); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using TimePoint = Connection::TimePoint;
  struct Answer {
    unsigned status = 0;  ///< 0: none yet
    std::string body, type = "application/json";
    std::string header = {};  ///< one more line, with its CRLF
  };
  struct Taken {
    uint64_t records = 0, rejected = 0;
    bool complete = false;  ///< all of it is in the journal
  };

  asio::awaitable<void> serve() override;
  asio::awaitable<bool> read_request();
  asio::awaitable<bool> fill(TimePoint deadline);
  void parse();
  bool check_head();
  bool authorized() const;
  asio::awaitable<Answer> respond();
  asio::awaitable<Answer> take_once(const std::string& key, std::string_view body, bool whole);
  asio::awaitable<Taken> take(std::string_view body, bool whole);
  asio::awaitable<Answer> wait_secured(uint64_t mark, const Taken& taken, bool duplicate);
  asio::awaitable<bool> pause(std::chrono::milliseconds time);
  asio::awaitable<bool> send(std::string_view text);
  asio::awaitable<void> send_answer(const Answer& answer, bool keep_alive);
  std::string header(std::string_view name) const;
  void hold(size_t bytes);
  void refuse(unsigned status, std::string_view detail, std::string header = {});

  const std::string path_, bearer_, basic_;  ///< the last two: the whole expected header, empty: none
  std::optional<Parser> parser_;
  std::string input_;       ///< read and not parsed yet
  Answer refusal_;          ///< of the request in hand, before its body is looked at
  bool head_seen_ = false;  ///< of that request
  size_t held_ = 0;         ///< bytes of body in context_.body_bytes
};

}  // namespace weir
