#pragma once
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <string>

#include "agent/core/options.h"
#include "agent/ingest/session.h"

namespace weir {

/// The body of a request: it grows with what really comes, whatever length was declared.
struct GrowingBody {
  using value_type = std::string;
  static uint64_t size(const value_type& body) { return body.size(); }
  class reader {
   public:
    template <bool kRequest, class Fields>
    reader(boost::beast::http::header<kRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, boost::system::error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, boost::system::error_code& error) {
      error = {};
      size_t bytes = 0;
      for (auto part : boost::beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(part.data()), part.size());
        bytes += part.size();
      }
      return bytes;
    }
    void finish(boost::system::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

/// One connection of the `http` listener (docs/decisions/0007-http-source.md): requests one after the other,
/// each a POST of NDJSON or of a JSON array. Limits: security.md, "HTTP server side".
class HttpSession final : public Session {
 public:
  HttpSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
              Producer producer, const Settings& settings);
  ~HttpSession() override { hold(0); }
  void reconfigure(const Settings& settings) override;
  void on_progress() override;

 private:
  using Parser = boost::beast::http::request_parser<GrowingBody>;
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
  asio::awaitable<Taken> take_begun(const std::string& key, std::string_view body, bool whole);
  asio::awaitable<Answer> wait_secured(uint64_t mark, const Taken& taken, bool duplicate,
                                       bool may_come_again);
  static Answer counts(unsigned status, const Taken& taken, bool duplicate);
  asio::awaitable<bool> pause(std::chrono::milliseconds time);
  asio::awaitable<bool> send(std::string_view text);
  asio::awaitable<void> send_answer(const Answer& answer, bool keep_alive);
  std::string header(std::string_view name) const;
  uint64_t body_bytes_max() const;
  void hold(size_t bytes);
  void refuse(unsigned status, std::string_view detail, std::string header = {});
  void refuse_for_now(std::string_view detail);

  std::string path_, bearer_, basic_;  ///< the last two: the whole expected header, empty: none
  std::optional<Parser> parser_;
  std::string input_;       ///< read and not parsed yet
  Answer refusal_;          ///< of the request in hand, before its body is looked at
  bool head_seen_ = false;  ///< of that request
  size_t raw_bytes_ = 0;    ///< read of that request, chunk headers and all
  size_t held_ = 0;         ///< bytes of body in *body_bytes_
  const std::shared_ptr<size_t> body_bytes_;
};

}  // namespace weir
