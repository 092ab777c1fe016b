#include "cli/client/resend.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "cli/base/json_text.h"
#include "cli/show/print.h"
#include "core/base/error.h"
#include "core/base/random.h"

namespace millrace::cli {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kFirstWait{500};
constexpr milliseconds kLongestWait{8'000};
constexpr milliseconds kShortestTry{1'000};

bool IsFinal(int status) {
  return status != 429 && status != 502 && status != 503 && status != 504;
}

// Returns whether the service may have done what it was asked despite this answer: it refuses at
// once when it is full or draining, but does not know the fate of a request that it passed on.
bool LeavesOpen(const std::string& code) {
  return code != "queue_full" && code != "draining" && code != "storage_full";
}

// Reads Retry-After in seconds; ignores a date.
std::optional<std::chrono::seconds> RetryAfterOf(const HttpResponse& response) {
  const std::string_view text = response.Header("retry-after");
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

// Sends one request until an answer is final.
class Sender {
 public:
  Sender(HttpClient& http, HttpRequest request, milliseconds patience)
      : http_(http),
        request_(std::move(request)),
        longest_(request_.timeout),
        schedule_(patience, clock_.Now(), &RandomFraction) {}

  Resent Run() {
    while (true) {
      if (std::optional<Resent> end = Try()) return std::move(*end);
      request_.timeout = schedule_.TimeFor(clock_.Now(), longest_);
    }
  }

 private:
  // Returns nullopt when it is time for the next try.
  std::optional<Resent> Try() {
    try {
      HttpResponse response = http_.Send(request_);
      if (IsFinal(response.status)) {
        return Resent{.response = std::move(response), .earlier_uncertain = uncertain_};
      }
      const nlohmann::json problem = nlohmann::json::parse(response.body, nullptr, false);
      const std::string code = Text(problem, "code");
      uncertain_ = uncertain_ || (response.status != 429 && LeavesOpen(code));
      const std::string said = Text(problem, "detail");
      if (!WaitAfter(said.empty() ? fmt::format("HTTP status {}", response.status) : said,
                     RetryAfterOf(response))) {
        return Resent{.response = std::move(response), .uncertain = uncertain_};
      }
    } catch (const Error& error) {
      OnNoAnswer(error);
    }
    return std::nullopt;
  }

  void OnNoAnswer(const Error& error) {
    if (!error.context().value("unreachable", false)) throw error;
    const bool sent = error.context().value("sent", true);
    uncertain_ = uncertain_ || sent;
    const bool runs = sent || http_.answered() || uncertain_;
    if (runs && WaitAfter(error.what(), std::nullopt)) return;
    nlohmann::json context = error.context();
    if (uncertain_) context["uncertain"] = true;
    throw Error(error.code(), error.what(), std::move(context));
  }

  bool WaitAfter(const std::string& reason, std::optional<std::chrono::seconds> retry_after) {
    const MonotonicTime now = clock_.Now();
    const auto wait = schedule_.NextWait(now, retry_after);
    if (!wait) return false;
    Tell(fmt::format("{}; asking again in {:.1f} s", reason,
                     static_cast<double>(wait->count()) / 1000));
    std::this_thread::sleep_until(now + *wait);
    return true;
  }

  const SystemClock clock_;
  HttpClient& http_;
  HttpRequest request_;
  const milliseconds longest_;
  ResendSchedule schedule_;
  bool uncertain_ = false;
};

}  // namespace

ResendSchedule::ResendSchedule(milliseconds patience, MonotonicTime begun,
                               std::function<double()> random)
    : deadline_(begun + patience), random_(std::move(random)) {}

std::optional<milliseconds> ResendSchedule::NextWait(
    MonotonicTime now, std::optional<std::chrono::seconds> retry_after) {
  constexpr int kMostDoublings = 10;  // enough for the longest wait
  const milliseconds ceiling =
      std::min(kLongestWait, kFirstWait * (1 << std::min(failures_, kMostDoublings)));
  ++failures_;
  // Between half and all of it.
  milliseconds wait(
      static_cast<int64_t>(static_cast<double>(ceiling.count()) * (1 - random_() / 2)));
  if (retry_after) wait = std::max<milliseconds>(wait, *retry_after);
  if (now + wait >= deadline_) return std::nullopt;
  return wait;
}

milliseconds ResendSchedule::TimeFor(MonotonicTime now, milliseconds longest) const {
  const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - now);
  return std::min(longest, std::max(kShortestTry, left));
}

Resent SendUntilAnswered(HttpClient& http, HttpRequest request, milliseconds patience) {
  return Sender(http, std::move(request), patience).Run();
}

}  // namespace millrace::cli
