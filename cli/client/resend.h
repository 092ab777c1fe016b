#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "cli/client/http_client.h"
#include "core/base/clock.h"

namespace millrace::cli {

// Schedules the tries of a request that is safe to repeat: waits half a second, then twice as long
// each time up to eight seconds, with jitter so that clients cut off together do not come back
// together. Never tries before the service's Retry-After, nor after `patience` is over. Decides
// only. Owned by one thread.
class ResendSchedule {
 public:
  // `random` returns numbers from 0 to below 1.
  ResendSchedule(std::chrono::milliseconds patience, MonotonicTime begun,
                 std::function<double()> random);

  // Returns how long to wait before the next try; nullopt: give up.
  std::optional<std::chrono::milliseconds> NextWait(
      MonotonicTime now, std::optional<std::chrono::seconds> retry_after);

  // Returns how long a try that begins now may take: at most `longest`, at least a second.
  std::chrono::milliseconds TimeFor(MonotonicTime now, std::chrono::milliseconds longest) const;

 private:
  const MonotonicTime deadline_;
  const std::function<double()> random_;
  int failures_ = 0;
};

struct Resent {
  HttpResponse response;   // the last one
  bool uncertain = false;  // the service may have done what it was asked
  // An earlier, unanswered try may have done the work; the response is that of a later one.
  bool earlier_uncertain = false;
};

// Sends a request that is safe to repeat until an answer is final: any but 429, 502, 503 and 504.
// Gives up when `patience` is over (0: a single try), or at once if the service has never answered
// and refuses connections, as it is not running. Then returns the last answer, or rethrows the
// error of HttpClient::Send with {"uncertain": true} in its context if the request may have been
// served. Says on standard error what it waits for. Blocks the calling thread.
Resent SendUntilAnswered(HttpClient& http, HttpRequest request, std::chrono::milliseconds patience);

}  // namespace millrace::cli
