#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "cli/client/http_client.h"
#include "core/base/clock.h"

namespace millrace::cli {

// When a request that is safe to repeat is sent again after a try without a final answer: after
// half a second, then twice as long each time up to eight seconds, a little less by chance, so that
// clients who were cut off together do not come back together; never before the service's own
// Retry-After; and never so late that `patience` would be over. Decides only; owned by one thread.
class ResendSchedule {
 public:
  // `random` returns numbers from 0 to below 1.
  ResendSchedule(std::chrono::milliseconds patience, MonotonicTime begun,
                 std::function<double()> random);

  // How long to wait before the next try; nullopt: give up.
  std::optional<std::chrono::milliseconds> NextWait(
      MonotonicTime now, std::optional<std::chrono::seconds> retry_after);

  // How long a try that begins now may take, of at most `longest`; a second at least.
  std::chrono::milliseconds TimeFor(MonotonicTime now, std::chrono::milliseconds longest) const;

 private:
  const MonotonicTime deadline_;
  const std::function<double()> random_;
  int failures_ = 0;
};

struct Resent {
  HttpResponse response;   // the last one
  bool uncertain = false;  // the service may have done what was asked although nothing says so
  // The response is final, but an earlier try may have been what did it.
  bool earlier_uncertain = false;
};

// Sends a request that is safe to repeat until an answer is final: any but 429, 502, 503 and 504.
// Gives up when `patience` is over (0: a single try) and returns the last answer, or throws what
// HttpClient::Send threw with {"uncertain": true} in the context where that is so. A service that
// has never answered and cannot be connected to is given up at once: it does not run. Says on
// standard error what it waits for. Blocks the calling thread.
Resent SendUntilAnswered(HttpClient& http, HttpRequest request, std::chrono::milliseconds patience);

}  // namespace millrace::cli
