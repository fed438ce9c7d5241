#include "agent/ingest/http_session.h"

#include <openssl/crypto.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>

#include "agent/core/clock.h"
#include "agent/core/json.h"
#include "agent/core/log.h"
#include "agent/core/quarantine.h"
#include "agent/core/text.h"
#include "agent/ingest/inflate.h"

namespace weir {
namespace {

namespace http = boost::beast::http;
using std::chrono::steady_clock;

// security.md, "HTTP server side".
constexpr uint32_t kHeaderBytesMax = 16 << 10;
constexpr size_t kHeaderLinesMax = 100;
constexpr uint64_t kBodyBytesMax = 4 << 20;
constexpr auto kHeaderTime = std::chrono::seconds(5);
constexpr auto kIdleTime = std::chrono::seconds(30);
constexpr auto kBodyTime = std::chrono::seconds(30);
constexpr auto kSecuredTime = std::chrono::seconds(8);  // before a sender gives up: ours does after 10 s
constexpr size_t kBodiesBytesMax = 64 << 20;            // of all connections
constexpr size_t kTurnFrames = 1024, kTurnBytes = 256 << 10;
constexpr size_t kReadChunk = 64 << 10;
constexpr size_t kKeyBytesMax = 255;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? char(c | 0x20) : c;
  return out;
}

/// A header that must not stand there twice and does; a length that is a list counts.
template <class Request>
std::string named_twice(const Request& request) {
  for (const char* name : {"Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type",
                           "Authorization", "Idempotency-Key"})
    if (request.count(name) > 1) return name;
  const std::string_view length = view(request["Content-Length"]);
  return length.find(',') == length.npos ? "" : "Content-Length";
}

/// The media type alone, as `application/json` of `application/json; charset=utf-8`.
std::string media_type(std::string_view header) {
  std::string type = lower(header.substr(0, header.find(';')));
  while (type.ends_with(' ') || type.ends_with('\t')) type.pop_back();
  return type;
}

/// A record is one line in everything that follows: line breaks between the tokens of a JSON text become
/// spaces. Within a string they are a fault, and stay for the decoder to find.
void join_lines(std::string& json) {
  if (json.find_first_of("\r\n") == json.npos) return;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '"')
      in_string = !in_string;
    else if (in_string && json[i] == '\\')
      ++i;
    else if (!in_string && (json[i] == '\n' || json[i] == '\r'))
      json[i] = ' ';
  }
}

std::string basic_header(const Settings& s) {
  if (s.null("auth.basic.user")) return {};
  std::string out = "basic ";
  append_base64(out, s.text("auth.basic.user") + ":" + s.secret("auth.basic.password"));
  return out;
}

}  // namespace

HttpSession::HttpSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
                         Producer producer, const Settings& settings)
    : Session(context, handler, std::move(stream), std::move(producer)), body_bytes_(context.body_bytes) {
  producer_.level = AckLevel::durable;  // somebody waits for the answer
  reconfigure(settings);
}

void HttpSession::on_progress() {
  unlink();
  connection_.cancel();
}

void HttpSession::reconfigure(const Settings& settings) {
  path_ = settings.text("path");
  bearer_ = settings.null("auth.bearer") ? "" : "bearer " + settings.secret("auth.bearer");
  basic_ = basic_header(settings);
}

asio::awaitable<void> HttpSession::serve() {
  bool keep_alive = true;
  while (keep_alive && !stopped_) {
    const bool got_one = co_await read_request();
    if (!got_one) break;
    Answer answer = co_await respond();
    if (answer.status == 0) break;  // the agent stops: no answer, so that it is sent again
    keep_alive = refusal_.status == 0 && parser_->keep_alive() && !draining_;
    co_await send_answer(answer, keep_alive);
    hold(0);
    parser_.reset();
  }
  connection_.stream().shutdown_write();
  // Closing with unread bytes resets the connection, and the reset may overtake our last words.
  const auto deadline = steady_clock::now() + std::chrono::milliseconds(500);
  for (bool more = true; more && !stopped_ && steady_clock::now() < deadline; input_.clear()) {
    more = co_await fill(deadline);
    co_await asio::post(context_.io, kAwait);
  }
}

/// False: the connection is at its end. True: there is a request, or refusal_ for it.
asio::awaitable<bool> HttpSession::read_request() {
  parser_.emplace();
  parser_->header_limit(kHeaderBytesMax);
  parser_->body_limit(body_bytes_max());
  parser_->eager(true);
  refusal_ = {};
  head_seen_ = false;
  raw_bytes_ = input_.size();
  auto deadline = steady_clock::now() + (input_.empty() ? kIdleTime : kHeaderTime);
  bool begun = !input_.empty();
  while (true) {
    const bool head_seen = head_seen_;
    parse();
    if (refusal_.status != 0 || parser_->is_done()) co_return true;
    if (!head_seen && head_seen_) {
      deadline = steady_clock::now() + kBodyTime;
      if (lower(header("Expect")) == "100-continue") co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    }
    if (draining_ && !begun) co_return false;
    const bool filled = co_await fill(deadline);
    if (!filled) {
      if (begun && steady_clock::now() >= deadline) {
        refuse(408, head_seen_ ? "the body did not come within 30 s" : "the header did not come within 5 s");
        co_return true;
      }
      co_return false;
    }
    if (!begun) deadline = steady_clock::now() + kHeaderTime;
    begun = true;
    co_await asio::post(context_.io, kAwait);  // one read per turn: the others come next
  }
}

/// Reads once. False: closed, `deadline` has passed, or the session is to end.
asio::awaitable<bool> HttpSession::fill(TimePoint deadline) {
  while (!stopped_) {
    std::vector<char>& shared = context_.buffer.bytes;
    IoStep step = connection_.stream().read_some({shared.data(), std::min(shared.size(), kReadChunk)});
    if (step.is(IoStep::Kind::done)) {
      input_.append(shared.data(), step.bytes);
      raw_bytes_ += step.bytes;
      co_return true;
    }
    if (!step.is(IoStep::Kind::want_read) && !step.is(IoStep::Kind::want_write)) co_return false;
    if (draining_ && input_.empty() && !head_seen_) co_return false;
    const bool in_time = co_await connection_.wait_until(step.kind, deadline);
    if (!in_time) co_return false;
  }
  co_return false;
}

/// Hands what was read to the parser.
void HttpSession::parse() {
  while (!input_.empty() && !parser_->is_done()) {
    boost::system::error_code error;
    const size_t used = parser_->put(asio::buffer(input_), error);
    input_.erase(0, used);
    if (parser_->is_header_done() && !head_seen_) {
      head_seen_ = true;
      if (!check_head()) return;
    }
    // What the parser leaves of a body is the beginning of a chunk header or a trailer.
    const bool endless = error == http::error::need_more && head_seen_ && input_.size() > kHeaderBytesMax;
    // Chunks of few bytes are mostly header.
    if (raw_bytes_ > 2 * body_bytes_max() || endless)
      return refuse(413, "more chunk headers than body, or too much of both; send larger chunks");
    if (error == http::error::need_more) break;
    if (error == http::error::header_limit) return refuse(431, "more than 16 KiB of header");
    if (error == http::error::body_limit) return refuse(413, "the body is too large; send smaller batches");
    if (error) return refuse(400, "not HTTP/1.1: " + error.message());
    hold(parser_->get().body().size());
    if (*body_bytes_ > kBodiesBytesMax) return refuse_for_now("too many requests at once");
    if (used == 0) break;
  }
  if (input_.empty()) input_.shrink_to_fit();
}

std::string HttpSession::header(std::string_view name) const {
  return std::string(view(parser_->get()[boost::beast::string_view(name.data(), name.size())]));
}

/// Sets refusal_ and answers false where the body need not be read any more.
bool HttpSession::check_head() {
  const auto& request = parser_->get();
  const std::string target(view(request.target()));
  const std::string encoding = lower(header("Content-Encoding"));
  const std::string transfer = lower(header("Transfer-Encoding"));
  if (size_t(std::distance(request.begin(), request.end())) > kHeaderLinesMax)
    refuse(431, "more than 100 lines of header");
  else if (!transfer.empty() && transfer != "chunked")
    refuse(400, "Transfer-Encoding: only chunked is known");
  else if (request.count("Host") > 1 || (request.version() == 11 && request.count("Host") == 0))
    refuse(400, "exactly one Host is needed");
  else if (path_ != "/" && target.substr(0, target.find('?')) != path_)
    refuse(404, "this listener takes requests for " + path_);
  else if (!authorized())
    refuse(401, "credentials are missing or not right",
           bearer_.empty() ? "WWW-Authenticate: Basic realm=\"weir\"\r\n" : "WWW-Authenticate: Bearer\r\n");
  else if (const std::string twice = named_twice(request); !twice.empty())
    refuse(400, "one " + twice + " at most");
  else if (request.version() == 10 && !transfer.empty())
    refuse(400, "Transfer-Encoding is not of HTTP/1.0");
  else if (request.method() != http::verb::post)
    refuse(405, "use POST", "Allow: POST\r\n");
  else if (!encoding.empty() && encoding != "identity" && encoding != "gzip")
    refuse(415, "Content-Encoding: identity and gzip are known");
  else if (header("Idempotency-Key").size() > kKeyBytesMax)
    refuse(400, "Idempotency-Key: longer than 255 bytes");
  else if (*body_bytes_ > kBodiesBytesMax)
    refuse_for_now("too many requests at once");
  else if (!context_.gate.is_open())
    refuse_for_now("the journal is full");
  return refusal_.status == 0;
}

/// The scheme is a word of any case (RFC 9110 section 11.1).
bool HttpSession::authorized() const {
  if (bearer_.empty() && basic_.empty()) return true;
  std::string shown = header("Authorization");
  const size_t scheme = std::min(shown.find(' '), shown.size());
  shown.replace(0, scheme, lower(std::string_view(shown).substr(0, scheme)));
  return (!bearer_.empty() && same(shown, bearer_)) || (!basic_.empty() && same(shown, basic_));
}

/// RFC 9457.
void HttpSession::refuse(unsigned status, std::string_view detail, std::string header) {
  const std::string title(view(http::obsolete_reason(http::int_to_status(status))));
  refusal_ = {status, "{\"title\":\"" + title + "\",\"status\":" + std::to_string(status) + ",\"detail\":",
              "application/problem+json", std::move(header)};
  json::append_quoted(refusal_.body, detail);
  refusal_.body += "}\n";
  log::sampled(log::Level::warn, "http", "{}: {}: request refused: {} {}", producer_.stats->name,
               producer_.peer.address, status, detail);
}

void HttpSession::refuse_for_now(std::string_view detail) { refuse(503, detail, "Retry-After: 1\r\n"); }

asio::awaitable<HttpSession::Answer> HttpSession::respond() {
  if (refusal_.status != 0) co_return refusal_;
  std::string body = std::move(parser_->get().body());
  if (lower(header("Content-Encoding")) == "gzip") {
    auto inflated = inflate_gzip(body);
    if (!inflated) {
      refuse(inflated.error().too_large ? 413 : 400, inflated.error().message);
      co_return refusal_;
    }
    body = std::move(*inflated);
  }
  hold(body.size());
  if (*body_bytes_ > kBodiesBytesMax) {
    refuse_for_now("too many requests at once");
    co_return refusal_;
  }
  body.reserve(body.size() + kReadablePadding);
  // In NDJSON each line stands for itself.
  const bool whole = media_type(header("Content-Type")) == "application/json";
  if (whole) join_lines(body);
  const std::string key = header("Idempotency-Key");
  co_return co_await take_once(key, body, whole);
}

/// Waits while the same request is being taken on another connection, whose sender may have given it up.
asio::awaitable<HttpSession::Answer> HttpSession::take_once(const std::string& key, std::string_view body,
                                                            bool whole) {
  IdempotencyKeys& keys = context_.keys;
  const auto now = [] { return system_clock().monotonic_ns(); };
  const auto begin = steady_clock::now();
  while (auto* known = key.empty() ? nullptr : keys.find(key, now())) {
    if (known->fingerprint != std::hash<std::string_view>()(body)) {
      refuse(422, "this Idempotency-Key was used for another request");
      co_return refusal_;
    }
    if (known->state == IdempotencyKeys::State::done) {
      SourceStats& stats = *producer_.stats;
      stats.received += known->records, stats.accepted += known->records, stats.duplicate += known->records;
      const Taken taken{known->records, known->rejected, true};
      co_return co_await wait_secured(known->mark, taken, true, true);
    }
    if (steady_clock::now() - begin > kSecuredTime) {
      refuse_for_now("this request is still being taken on another connection");
      co_return refusal_;
    }
    const bool goes_on = co_await pause(std::chrono::milliseconds(5));
    if (!goes_on) co_return Answer{};
  }
  const int64_t began_ns = system_clock().monotonic_ns();
  const Taken taken = co_await take_begun(key, body, whole);
  if (!taken.complete) co_return Answer{};
  Answer answer = co_await wait_secured(handler_.journal_mark(), taken, false, !key.empty());
  if (answer.status == 200)
    context_.acknowledged.add(system_clock().monotonic_ns() - began_ns, taken.records);
  co_return answer;
}

/// take() with its key in the table: in progress, then done, or as if it had never come.
asio::awaitable<HttpSession::Taken> HttpSession::take_begun(const std::string& key, std::string_view body,
                                                            bool whole) {
  if (key.empty()) co_return co_await take(body, whole);
  IdempotencyKeys& keys = context_.keys;
  const auto now = [] { return system_clock().monotonic_ns(); };
  struct Drop {
    IdempotencyKeys& keys;
    const std::string& key;
    const void* owner;
    ~Drop() { keys.drop(key, owner); }  // does nothing to one that is done
  } drop{keys, key, this};
  const size_t fingerprint = std::hash<std::string_view>()(body);
  keys.begin(key, now(), this, fingerprint);
  const Taken taken = co_await take(body, whole);
  auto* entry = taken.complete ? keys.find(key, now()) : nullptr;
  if (entry && entry->owner == this)
    *entry = {IdempotencyKeys::State::done,
              taken.records,
              taken.rejected,
              handler_.journal_mark(),
              now(),
              this,
              fingerprint};
  co_return taken;
}

/// Goes on to the end even if the connection is lost meanwhile: what was begun is taken whole.
asio::awaitable<HttpSession::Taken> HttpSession::take(std::string_view body, bool whole) {
  const uint64_t records = producer_.records, rejected = producer_.rejected;
  const char* const end = body.data() + body.size();
  size_t turn_frames = 0;
  const char* turn_begin = body.data();
  for (const char* p = body.data(); p < end;) {
    const auto* lf = whole ? nullptr : static_cast<const char*>(std::memchr(p, '\n', size_t(end - p)));
    std::string_view line(p, size_t((lf ? lf : end) - p));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool blank = line.find_first_not_of(" \t\r\n") == line.npos;
    Intake intake = Intake::taken;
    if (!whole && line.size() > context_.buffer.record_bytes_max)
      handler_.on_bad_frame(producer_, Reason::too_long, line.substr(0, kQuarantineRawBytesMax), line.size());
    else if (!blank)
      intake = handler_.on_frame(producer_, line);
    if (intake != Intake::again) p = lf ? lf + 1 : end;
    if (intake == Intake::taken && ++turn_frames < kTurnFrames && size_t(p - turn_begin) < kTurnBytes)
      continue;
    turn_frames = 0, turn_begin = p;
    co_await end_turn();
    if (stopped_ && !context_.gate.is_open()) co_return Taken{};
    co_await asio::post(context_.io, kAwait);  // the other connections come in between
  }
  co_await end_turn();
  if (stopped_ && !context_.gate.is_open()) co_return Taken{};
  co_return Taken{producer_.records - records, producer_.rejected - rejected, true};
}

asio::awaitable<HttpSession::Answer> HttpSession::wait_secured(uint64_t mark, const Taken& taken,
                                                               bool duplicate, bool may_come_again) {
  const auto begin = steady_clock::now();
  while (!handler_.is_secured(mark)) {
    const auto waited = steady_clock::now() - begin;
    if (waited > kSecuredTime) {
      // Without a key it could not be recognised if it came again, so it must not be asked for again.
      if (!may_come_again) co_return counts(202, taken, duplicate);
      refuse_for_now("its sinks have not written it yet; send it again with the same Idempotency-Key");
      co_return refusal_;
    }
    const bool goes_on =
        co_await pause(std::chrono::milliseconds(waited < std::chrono::milliseconds(50) ? 1 : 10));
    if (!goes_on) co_return Answer{};
  }
  co_return counts(200, taken, duplicate);
}

HttpSession::Answer HttpSession::counts(unsigned status, const Taken& taken, bool duplicate) {
  return {status, "{\"records\":" + std::to_string(taken.records) +
                      ",\"rejected\":" + std::to_string(taken.rejected) +
                      ",\"duplicate\":" + (duplicate ? "true" : "false") + "}\n"};
}

/// Or until the journal has got on. False: the session is to end.
asio::awaitable<bool> HttpSession::pause(std::chrono::milliseconds time) {
  context_.waiting.add(*this);
  co_await connection_.sleep_until(steady_clock::now() + time);
  unlink();
  co_return !stopped_;
}

asio::awaitable<bool> HttpSession::send(std::string_view text) {
  const auto deadline = steady_clock::now() + kIdleTime;
  while (!text.empty() && !stopped_) {
    IoStep step = connection_.stream().write_some(text);
    if (step.is(IoStep::Kind::done)) {
      text.remove_prefix(step.bytes);
      continue;
    }
    if (!step.is(IoStep::Kind::want_write) && !step.is(IoStep::Kind::want_read)) co_return false;
    const bool in_time = co_await connection_.wait_until(step.kind, deadline);
    if (!in_time) co_return false;
  }
  co_return text.empty();
}

asio::awaitable<void> HttpSession::send_answer(const Answer& answer, bool keep_alive) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + ' ' +
                     std::string(view(http::obsolete_reason(http::int_to_status(answer.status)))) +
                     "\r\nServer: weir/" WEIR_VERSION "\r\nContent-Type: " + answer.type +
                     "\r\nContent-Length: " + std::to_string(answer.body.size()) + "\r\n" + answer.header;
  text += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  text += answer.body;
  co_await send(text);
}

/// One record of the largest size always fits.
uint64_t HttpSession::body_bytes_max() const {
  return std::max<uint64_t>(kBodyBytesMax, context_.buffer.record_bytes_max + (64 << 10));
}

void HttpSession::hold(size_t bytes) {
  *body_bytes_ += bytes - held_;
  held_ = bytes;
}

}  // namespace weir
