#include "agent/net/http_response.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <ctime>

namespace weir {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

constexpr size_t kReasonBytesMax = 200, kLocationBytesMax = 500;
constexpr int64_t kSecond = 1'000'000'000;

/// Keeps of an answer what the agent wants to know.
class Parser final : public http::basic_parser<false> {
 public:
  Parser(HttpAnswer& answer, int64_t wall_ns) : answer_(answer), wall_ns_(wall_ns) {
    header_limit(kAnswerHeaderBytesMax);
    body_limit(boost::none);
  }
  bool body_is_cut() const { return cut_; }

 private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int status, string_view reason, int, error_code&) override {
    answer_.status = status;
    answer_.reason.assign(reason.data(), std::min(reason.size(), kReasonBytesMax));
  }
  void on_field_impl(http::field name, string_view, string_view value, error_code&) override {
    if (name == http::field::retry_after)
      answer_.retry_after_ns = parse_retry_after_ns({value.data(), value.size()}, wall_ns_).value_or(0);
    if (name == http::field::location)
      answer_.location.assign(value.data(), std::min(value.size(), kLocationBytesMax));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return take(body); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return take(body); }
  void on_finish_impl(error_code&) override {}

  std::size_t take(string_view body) {
    const size_t room = kAnswerBodyBytesMax - answer_.body.size();
    answer_.body.append(body.data(), std::min(room, body.size()));
    cut_ = cut_ || body.size() > room;
    return body.size();
  }

  HttpAnswer& answer_;
  const int64_t wall_ns_;
  bool cut_ = false;
};

}  // namespace

struct HttpResponseReader::Impl {
  HttpAnswer answer;
  std::optional<Parser> parser;
  std::string buffer;  // what the parser has not taken yet
  std::string error;
  size_t header_bytes = 0;
  int64_t wall_ns = 0;
  bool without_body = false;
  bool keep_alive = false;

  void next_answer() {
    answer = {};
    parser.emplace(answer, wall_ns);
    if (without_body) parser->skip(true);
  }
  State failed(std::string text) {
    error = std::move(text);
    return State::failed;
  }
  State complete() {
    keep_alive = parser->is_done() && parser->keep_alive();
    return State::complete;
  }
  State feed();
};

HttpResponseReader::HttpResponseReader() : impl_(std::make_unique<Impl>()) {}
HttpResponseReader::~HttpResponseReader() = default;
HttpAnswer& HttpResponseReader::answer() { return impl_->answer; }
const std::string& HttpResponseReader::error() const { return impl_->error; }
bool HttpResponseReader::can_go_on() const { return impl_->keep_alive && impl_->buffer.empty(); }

void HttpResponseReader::reset(int64_t wall_ns, bool without_body) {
  impl_->buffer.clear();
  impl_->header_bytes = 0;
  impl_->wall_ns = wall_ns, impl_->without_body = without_body, impl_->keep_alive = false;
  impl_->next_answer();
}

HttpResponseReader::State HttpResponseReader::feed(std::string_view bytes) {
  impl_->buffer.append(bytes);
  return impl_->feed();
}

HttpResponseReader::State HttpResponseReader::Impl::feed() {
  while (!buffer.empty()) {
    if (!parser->got_some()) {
      // Some servers leave out the space before an empty reason, which Beast insists on.
      static constexpr size_t kStatusEnd = std::string_view("HTTP/1.1 200").size();
      if (!std::string_view("HTTP/1.").starts_with(std::string_view(buffer).substr(0, 7)))
        return failed("it is not HTTP/1.1");
      if (buffer.size() <= kStatusEnd) return State::more;
      if (buffer[kStatusEnd] == '\r') buffer.insert(kStatusEnd, 1, ' ');
    }
    const bool in_header = !parser->is_header_done();
    error_code ec;
    const size_t taken = parser->put(boost::asio::buffer(buffer), ec);
    buffer.erase(0, taken);
    if (in_header) header_bytes += taken;
    const size_t header_waiting = parser->is_header_done() ? 0 : buffer.size();
    if (ec == http::error::header_limit || header_bytes + header_waiting > kAnswerHeaderBytesMax)
      return failed("its headers are longer than 64 KiB");
    if (ec == http::error::need_more) {
      // Only a chunk header or trailer can wait here, and it is short.
      if (buffer.size() > kAnswerHeaderBytesMax) return failed("it is not HTTP: a chunk header without end");
      return State::more;
    }
    if (ec) return failed("it is not HTTP: " + ec.message());
    if (parser->body_is_cut()) return State::cut;
    if (!parser->is_header_done()) continue;
    if (answer.status == 101) return failed("it wants to change the protocol (101), which nobody asked for");
    if (parser->is_done() && answer.status / 100 == 1) {
      next_answer();
      continue;
    }
    // RFC 9110 section 15.3.6: 205 has no content, so there is nothing to wait for.
    if (parser->is_done() || (answer.status == 205 && parser->need_eof())) return complete();
  }
  return State::more;
}

HttpResponseReader::State HttpResponseReader::end_of_stream() {
  if (!impl_->parser->got_some()) return impl_->failed("the connection was closed before an answer came");
  error_code ec;
  if (!impl_->parser->is_done()) impl_->parser->put_eof(ec);
  if (ec) return impl_->failed("the connection was closed in the middle of the answer");
  impl_->keep_alive = false;
  return State::complete;
}

std::optional<int64_t> parse_retry_after_ns(std::string_view text, int64_t wall_ns) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (end == text.data() + text.size() && !text.empty() && text.front() != '-')
    return error == std::errc{} ? std::min<int64_t>(seconds, 1'000'000'000) * kSecond : INT64_MAX;
  tm date{};
  const std::string terminated(text);
  const char* const rest = strptime(terminated.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (!rest || *rest) return std::nullopt;
  const int64_t at = int64_t(timegm(&date));
  return std::clamp<int64_t>(at - wall_ns / kSecond, 0, 1'000'000'000) * kSecond;
}

}  // namespace weir
