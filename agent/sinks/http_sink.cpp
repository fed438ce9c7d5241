#include "agent/sinks/http_sink.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

#include "agent/core/check.h"
#include "agent/core/text.h"
#include "agent/core/uuid.h"
#include "agent/sinks/state_text.h"

namespace weir {
namespace {

/// When a stop is asked for, a request may still be answered until it is this old: that saves sending it
/// again. One that has been out for longer is not waited for.
constexpr int64_t kLastAnswersNs = 200'000'000;

std::string text_or_empty(const Settings& s, std::string_view option) {
  return s.null(option) ? std::string() : s.text(option);
}

std::string authorization_of(const Settings& s) {
  if (!s.null("auth.bearer")) return "Bearer " + s.secret("auth.bearer");
  if (s.null("auth.basic.user")) return {};
  std::string out = "Basic ";
  append_base64(out, s.text("auth.basic.user") + ":" + s.secret("auth.basic.password"));
  return out;
}

/// Of a header such as `Authorization: Token abc` the last word is a secret of its own.
void add_with_last_word(SecretMask& mask, const std::string& value) {
  mask.add(value);
  if (const size_t space = value.rfind(' '); space != std::string::npos) mask.add(value.substr(space + 1));
}

/// A server may repeat the request line, and the query may hold a token.
void add_query(SecretMask& mask, std::string_view target) {
  constexpr size_t kTokenLengthMin = 6;
  const size_t question = target.find('?');
  if (question == std::string_view::npos) return;
  std::string_view query = target.substr(question + 1);
  if (query.size() >= kTokenLengthMin) mask.add(query);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view value = query.substr(0, end).substr(std::min(query.find('=') + 1, end));
    if (value.size() >= kTokenLengthMin) mask.add(value);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

/// A name-based UUID (RFC 4122 section 4.3) within the namespace of `base`.
std::string derived_uuid(const std::string& base, const std::string& name) {
  const std::string text = base + '\n' + name;
  unsigned char digest[EVP_MAX_MD_SIZE], bytes[16];
  WEIR_CHECK(EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha1(), nullptr) == 1);
  std::copy_n(digest, sizeof bytes, bytes);
  return format_uuid(bytes, 5);
}

}  // namespace

HttpSink::HttpSink(const Settings& s, const SinkContext& context)
    : settings_(s),
      clock_(context.clock),
      name_(context.name),
      journal_uuid_(context.journal_uuid),
      format_(s.text("format") == "ndjson" ? HttpFormat::ndjson : HttpFormat::json_array),
      gzip_(s.text("compress") == "gzip"),
      authorization_(authorization_of(s)),
      plan_(uint64_t(s.integer("batch.records")), uint64_t(s.integer("batch.bytes"))) {
  if (!authorization_.empty()) add_with_last_word(mask_, authorization_);
  if (!s.null("auth.basic.password")) mask_.add(s.secret("auth.basic.password"));
  for (const auto& [name, value] : s.secrets("headers"))
    if (value.shown == "***" || value.shown.find("${") != std::string::npos)  // others are shown anyway
      add_with_last_word(mask_, value.value);
}

Result<std::shared_ptr<Tls>> http_tls(const Settings& s) {
  return make_tls_client(
      {text_or_empty(s, "tls.ca"), text_or_empty(s, "tls.cert"), text_or_empty(s, "tls.key")});
}

Result<HttpEndpoint> http_endpoint(const Settings& s) {
  auto url = parse_http_url(s.text("url"));
  if (!url) return tl::unexpected(url.error());
  auto proxy = proxy_for(*url, [](const char* name) { return std::getenv(name); });
  if (!proxy) return tl::unexpected(proxy.error());
  HttpEndpoint e{std::move(*url), std::move(*proxy)};
  e.connect_timeout_ns = s.integer("connect_timeout"), e.timeout_ns = s.integer("timeout");
  if (e.url.tls) {
    auto tls = http_tls(s);
    if (!tls) return tl::unexpected(tls.error());
    e.tls = std::move(*tls);
    e.server_name = s.null("tls.server_name") ? e.url.host : s.text("tls.server_name");
  }
  const HostPort peer = e.proxy ? HostPort{e.proxy->host, e.proxy->port} : HostPort{e.url.host, e.url.port};
  e.resolver = std::make_shared<Resolver>(peer.host, peer.port);
  return e;
}

Result<void> HttpSink::open() {
  auto endpoint = http_endpoint(settings_);
  if (!endpoint) return tl::unexpected(endpoint.error());
  HttpEndpoint& e = endpoint_ = std::move(*endpoint);
  add_query(mask_, e.url.target);
  if (e.proxy) mask_.add(e.proxy->password), add_with_last_word(mask_, e.proxy->authorization);
  head_.emplace(e, settings_.secrets("headers"), authorization_, format_, gzip_);
  lanes_.clear();
  for (int64_t i = 0; i < settings_.integer("in_flight"); ++i)
    lanes_.push_back(std::make_unique<Lane>(e, clock_, format_, gzip_));
  return {};
}

/// `{"epoch":n,"requests":[[first,last,records,bytes,delivered],...]}`: so that what is sent again is sent in
/// the same requests.
std::string HttpSink::state() const {
  std::string out = R"({"epoch":)";
  state_text::append_number(out, epoch_);
  out += R"(,"requests":[)";
  for (const RequestBounds& r : plan_.unfinished()) {
    out += out.back() == '[' ? "[" : ",[";
    for (const uint64_t n : {r.first, r.last, r.records, r.bytes})
      state_text::append_number(out, n), out += ',';
    out += r.delivered ? "1]" : "0]";
  }
  return out + "]}";
}

void HttpSink::restore(SinkMemory memory) {
  keep_ = std::move(memory.keep);
  epoch_ = state_text::number(state_text::member(memory.state, "epoch"));
  // After a power cut other records may stand at ordinals that were sent: no request is the same then.
  if (!memory.same_boot) epoch_ = uint64_t(clock_.wall_ns()), memory.state.clear();
  std::vector<RequestBounds> requests;
  state_text::for_each(state_text::member(memory.state, "requests"), [&](auto, std::string_view bounds) {
    uint64_t n[5] = {};
    size_t i = 0;
    state_text::for_each(bounds, [&](auto, std::string_view value) {
      if (i < std::size(n)) n[i++] = state_text::number(value);
    });
    requests.push_back({n[0], n[1], n[2], n[3], n[4] != 0});
  });
  plan_.resume(requests);
  kept_upto_ = plan_.planned_upto();
}

/// Before a request is first sent its bounds are in the checkpoint: so it has the same ones, and the same
/// key, when this process dies before the answer. Where that cannot be written, sending goes on all the same.
void HttpSink::keep_bounds() {
  if (keep_ && plan_.planned_upto() > kept_upto_ && keep_(false)) kept_upto_ = plan_.planned_upto();
}

BatchLimits HttpSink::batch_limits() const {
  const uint64_t records = uint64_t(settings_.integer("batch.records"));
  const uint64_t bytes = uint64_t(settings_.integer("batch.bytes"));
  const uint64_t lanes = uint64_t(settings_.integer("in_flight"));
  BatchLimits limits{.records_max = records * lanes,
                     .bytes_max = bytes * lanes,
                     .records_step = records,
                     .linger_ns = settings_.integer("batch.linger"),
                     .bytes_step = bytes};
  if (plan_.unfinished_records() == 0) return limits;
  // What was sent once comes again whole, and at once.
  limits.records_max = std::max(limits.records_max, plan_.unfinished_records());
  limits.bytes_max = std::max(limits.bytes_max, plan_.unfinished_bytes());
  limits.records_step = 1;
  return limits;
}

Backoff HttpSink::backoff() const {
  return {settings_.integer("backoff.min"), settings_.integer("backoff.max"),
          settings_.integer("misconfigured_retry")};
}

/// Not the journal's own UUID: two sinks may send different records between the same ordinals to one
/// receiver, and so may one whose filter has changed.
std::string HttpSink::key_base(StreamSet streams) const {
  std::string name = name_ + '\n' + text_or_empty(settings_, "where") + '\n' + settings_.text("trace_slice");
  for (Stream s : kStreams)
    if (streams.has(s)) name += '\n' + std::string(stream_name(s));
  if (epoch_ != 0) name += '\n' + std::to_string(epoch_);
  return derived_uuid(journal_uuid_, name) + "-";
}

void HttpSink::Trouble::add(Delivery::Kind more, std::string text, int64_t wait_ns) {
  retry_after_ns = std::max(retry_after_ns, wait_ns);
  if (kind == Delivery::Kind::misconfigured) return;
  kind = more, error = std::move(text);
}

Delivery HttpSink::deliver(const BatchView& batch, std::stop_token stop) {
  if (key_base_.empty() || batch.streams != key_streams_)
    key_base_ = key_base(batch.streams), key_streams_ = batch.streams;
  plan_.begin(batch);
  keep_bounds();
  const StopSignal stopped(stop);
  Trouble trouble;
  int64_t end_ns = INT64_MAX;
  while (clock_.monotonic_ns() < end_ns) {
    if (stop.stop_requested() && end_ns == INT64_MAX) end_ns = last_start_ns_ + kLastAnswersNs;
    if (trouble.kind == Delivery::Kind::delivered && end_ns == INT64_MAX) start_requests(batch);
    for (auto& lane : lanes_)
      if (lane->connection.busy() && lane->connection.step()) take_outcome(*lane, trouble);
    const bool more = trouble.kind == Delivery::Kind::delivered && end_ns == INT64_MAX && plan_.waiting();
    if (!any_busy() && !more) break;
    if (!more || std::ranges::all_of(lanes_, [](auto& lane) { return lane->connection.busy(); }))
      wait(end_ns == INT64_MAX ? stopped.fd() : -1, end_ns);
  }
  for (auto& lane : lanes_)
    if (lane->connection.busy()) lane->connection.close();
  auto progress = plan_.finish();
  if (trouble.kind == Delivery::Kind::delivered && progress.done < batch.records)
    trouble.add(Delivery::Kind::retry, "POST " + endpoint_.url.shown() + ": stopped before the answer", 0);
  return {trouble.kind, std::move(trouble.error), std::move(progress.refused), progress.done,
          trouble.retry_after_ns};
}

void HttpSink::start_requests(const BatchView& batch) {
  for (auto& lane : lanes_) {
    if (lane->connection.busy()) continue;
    const RequestPlan::Request* next = plan_.next_waiting();
    if (!next) return;
    lane->first = next->first;
    key_ = key_base_;
    key_ += std::to_string(next->first);
    key_ += '-';
    key_ += std::to_string(next->last);
    lane->request.make(*head_, batch, next->first, next->last, key_);
    lane->connection.start(&lane->request.parts());
    last_start_ns_ = clock_.monotonic_ns();
  }
}

bool HttpSink::any_busy() const {
  return std::ranges::any_of(lanes_, [](const auto& lane) { return lane->connection.busy(); });
}

/// Until one of the connections can go on, or is late, or the stop comes.
void HttpSink::wait(int stop_fd, int64_t until_ns) {
  polled_.assign(1, {stop_fd, POLLIN, 0});
  for (const auto& lane : lanes_) {
    if (!lane->connection.busy()) continue;
    polled_.push_back(lane->connection.waits_for());
    until_ns = std::min(until_ns, lane->connection.wake_at_ns());
  }
  const int64_t left_ns = std::max<int64_t>(0, until_ns - clock_.monotonic_ns());
  const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  ::ppoll(polled_.data(), polled_.size(), &left, nullptr);
}

void HttpSink::take_outcome(Lane& lane, Trouble& trouble) {
  const HttpOutcome& outcome = lane.connection.outcome();
  switch (verdict_of(outcome)) {
    case HttpVerdict::delivered:
      return plan_.delivered(lane.first);
    case HttpVerdict::split:
      return plan_.refused(lane.first, text_of(outcome, endpoint_.url, mask_));
    case HttpVerdict::retry:
      plan_.failed(lane.first);
      return trouble.add(Delivery::Kind::retry, text_of(outcome, endpoint_.url, mask_),
                         outcome.answer.retry_after_ns);
    case HttpVerdict::misconfigured:
      plan_.failed(lane.first);
      return trouble.add(Delivery::Kind::misconfigured, text_of(outcome, endpoint_.url, mask_), 0);
  }
}

}  // namespace weir
