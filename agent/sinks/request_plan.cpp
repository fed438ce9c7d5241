#include "agent/sinks/request_plan.h"

#include <algorithm>

#include "agent/core/check.h"

namespace weir {

using State = RequestPlan::Request::State;

void RequestPlan::begin(const BatchView& batch) {
  records_.clear();
  for (const BatchSlice& slice : batch.slices)
    for (uint32_t i = 0; i < slice.entry_count; ++i) {
      const IndexEntry& e = slice.block->entry(slice.first_entry + i);
      if (batch.streams.has(e.stream)) records_.push_back({slice.begin + i + 1, e.length});
    }
  next_.clear();
  uint64_t planned = 0;  // records before this are in a request
  for (Request& request : requests_) {
    if (request.last <= batch.begin) continue;  // passed
    find_records(request);
    const bool whole =
        request.first > batch.begin && request.last <= batch.end && request.begin < request.end;
    const bool later = request.first > batch.end;
    // Of a request that lies partly outside only the knowledge that it was delivered is of use.
    if (!whole && !later && request.state != State::delivered) continue;
    if (!later) cut(planned, request.begin), planned = request.end;
    if (request.state == State::running) request.state = State::waiting;
    next_.push_back(std::move(request));
  }
  cut(planned, records_.size());
  std::ranges::sort(next_, {}, &Request::first);  // what is later has come before the last cut
  requests_.swap(next_);
}

void RequestPlan::find_records(Request& request) const {
  const auto from = std::ranges::lower_bound(records_, request.first, {}, &Record::ordinal);
  const auto upto = std::ranges::upper_bound(records_, request.last, {}, &Record::ordinal);
  request.begin = uint64_t(from - records_.begin()), request.end = uint64_t(upto - records_.begin());
}

void RequestPlan::count(Request& request) const {
  request.records = request.end - request.begin, request.bytes = 0;
  for (uint64_t n = request.begin; n < request.end; ++n) request.bytes += records_[n].bytes;
}

void RequestPlan::cut(uint64_t begin, uint64_t end) {
  while (begin < end) {
    uint64_t bytes = 0, upto = begin;
    while (upto < end && upto - begin < records_max_ &&
           (upto == begin || bytes + records_[upto].bytes <= bytes_max_))
      bytes += records_[upto++].bytes;
    Request& request = next_.emplace_back();
    request.first = records_[begin].ordinal, request.last = records_[upto - 1].ordinal;
    request.begin = begin, request.end = upto;
    request.records = upto - begin, request.bytes = bytes;
    begin = upto;
  }
}

size_t RequestPlan::index_of(Position first) const {
  const auto it = std::ranges::lower_bound(requests_, first, {}, &Request::first);
  WEIR_CHECK(it != requests_.end() && it->first == first && it->state == State::running);
  return size_t(it - requests_.begin());
}

const RequestPlan::Request* RequestPlan::next_waiting() {
  for (Request& request : requests_)
    if (request.state == State::waiting && request.begin < request.end) {
      request.state = State::running;
      ++request.attempts;
      return &request;
    }
  return nullptr;
}

bool RequestPlan::waiting() const {
  return std::ranges::any_of(requests_,
                             [](const Request& r) { return r.state == State::waiting && r.begin < r.end; });
}

void RequestPlan::delivered(Position first) { requests_[index_of(first)].state = State::delivered; }
void RequestPlan::failed(Position first) { requests_[index_of(first)].state = State::waiting; }

void RequestPlan::refused(Position first, std::string answer) {
  const size_t i = index_of(first);
  Request& request = requests_[i];
  if (request.end - request.begin == 1) {
    request.state = State::refused;
    request.answer = std::move(answer);
    return;
  }
  const uint64_t middle = request.begin + (request.end - request.begin) / 2;
  Request half = request;
  half.begin = middle, half.first = records_[middle].ordinal;
  request.end = middle, request.last = records_[middle - 1].ordinal;
  request.state = half.state = State::waiting;
  count(request), count(half);
  requests_.insert(requests_.begin() + ptrdiff_t(i) + 1, std::move(half));
}

RequestPlan::Progress RequestPlan::finish() {
  Progress out;
  size_t finished = 0;
  for (; finished < requests_.size(); ++finished) {
    Request& request = requests_[finished];
    if (request.begin == request.end) break;  // beyond the batch
    if (request.state == State::running) request.state = State::waiting;
    if (request.state == State::waiting) break;
    if (request.state == State::refused)
      out.refused.push_back({request.begin, std::move(request.answer), request.attempts});
    out.done = request.end;
    if (request.last > records_.back().ordinal) break;  // delivered, and the next batch has the rest of it
  }
  requests_.erase(requests_.begin(), requests_.begin() + ptrdiff_t(finished));
  unfinished_records_ = unfinished_bytes_ = 0;
  for (const Request& request : requests_)
    unfinished_records_ += request.records, unfinished_bytes_ += request.bytes;
  return out;
}

std::vector<RequestBounds> RequestPlan::unfinished() const {
  std::vector<RequestBounds> out;
  for (const Request& request : requests_)
    out.push_back(
        {request.first, request.last, request.records, request.bytes, request.state == State::delivered});
  return out;
}

void RequestPlan::resume(const std::vector<RequestBounds>& requests) {
  for (const RequestBounds& bounds : requests) {
    Request& request = requests_.emplace_back();
    request.first = bounds.first, request.last = bounds.last;
    request.records = bounds.records, request.bytes = bounds.bytes;
    if (bounds.delivered) request.state = State::delivered;
    unfinished_records_ += bounds.records, unfinished_bytes_ += bounds.bytes;
  }
}

}  // namespace weir
