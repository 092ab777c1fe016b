#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/client/service.h"
#include "cli/show/progress_display.h"
#include "cli/show/progress_row.h"

namespace millrace::cli {

struct WatchOptions {
  std::chrono::seconds long_poll{30};            // how long the service may hold an answer back
  std::chrono::milliseconds poll_interval{500};  // if it does not hold answers back
  std::chrono::milliseconds patience{60'000};    // with a service that does not answer
};

// Follows one job in the calling thread, and returns it when it has ended. Calls `show` for each
// change. Throws Error{kJobNotFound}, or the last Error if the service stayed unreachable.
nlohmann::json WatchJob(Service& service, const std::string& id,
                        const std::function<void(const ProgressRow&)>& show,
                        const WatchOptions& options = {});

// Follows several jobs at once, with a thread and a row of the display each. Returns them in the
// order of `ids` when all have ended. Rethrows the first error.
std::vector<nlohmann::json> WatchJobs(const std::string& url, const std::vector<std::string>& ids,
                                      ProgressDisplay& display);

// Follows any number of jobs: a few at once as WatchJobs does, many one after the other behind a
// single row that counts them. Returns them in the order of `ids` when all have ended.
std::vector<nlohmann::json> WatchMany(const std::string& url, const std::vector<std::string>& ids,
                                      std::FILE* out, ProgressDisplay::Kind kind);

}  // namespace millrace::cli
