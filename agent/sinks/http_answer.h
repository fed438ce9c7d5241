#pragma once
#include <string>

#include "agent/net/http_connection.h"
#include "agent/sinks/secret_mask.h"

namespace weir {

/// What an outcome means for the records of the request (delivery.md section 2).
enum class HttpVerdict { delivered, retry, split, misconfigured };
HttpVerdict verdict_of(const HttpOutcome& outcome);

/// `POST https://host/path: 503 Service Unavailable: first 200 characters of the body`, what the other side
/// said without our secrets; for misconfigured with a hint.
std::string text_of(const HttpOutcome& outcome, const HttpUrl& url, const SecretMask& mask);

}  // namespace weir
