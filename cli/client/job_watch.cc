#include "cli/client/job_watch.h"

#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "cli/base/exit_status.h"
#include "core/base/clock.h"
#include "core/base/error.h"

namespace millrace::cli {
namespace {

// Polls a job until it ends, or until the service has been unreachable for `patience`.
class Watch {
 public:
  Watch(Service& service, std::string id, const std::function<void(const ProgressRow&)>& show,
        const WatchOptions& options)
      : service_(service), id_(std::move(id)), show_(show), options_(options) {}

  nlohmann::json ToTheEnd() {
    while (row_.outcome == ProgressRow::Outcome::kNone) {
      const MonotonicTime asked_at = clock_.Now();
      if (Ask() || row_.outcome != ProgressRow::Outcome::kNone) continue;
      std::this_thread::sleep_until(asked_at + options_.poll_interval);
    }
    return std::move(job_);
  }

 private:
  // Returns whether to ask again at once, without waiting for the poll interval.
  bool Ask() {
    try {
      JobReply reply = service_.JobSince(id_, etag_, options_.long_poll);
      const bool first = etag_.empty();
      etag_ = std::move(reply.etag);
      away_since_.reset();
      if (reply.changed) {
        job_ = std::move(reply.job);
        row_ = RowOf(job_);
        show_(row_);
      }
      return (first && !etag_.empty()) || reply.waited;
    } catch (const Error& error) {
      if (ExitStatusOf(error) != kExitUnavailable) throw;
      if (!away_since_) away_since_ = clock_.Now();
      if (clock_.Now() - *away_since_ >= options_.patience) throw;
      row_.remark = "(the service does not answer)";
      if (!row_.label.empty()) show_(row_);
      return false;
    }
  }

  Service& service_;
  const std::string id_;
  const std::function<void(const ProgressRow&)>& show_;
  const WatchOptions& options_;
  const SystemClock clock_;
  nlohmann::json job_;
  ProgressRow row_;
  std::string etag_;
  std::optional<MonotonicTime> away_since_;
};

}  // namespace

nlohmann::json WatchJob(Service& service, const std::string& id,
                        const std::function<void(const ProgressRow&)>& show,
                        const WatchOptions& options) {
  return Watch(service, id, show, options).ToTheEnd();
}

std::vector<nlohmann::json> WatchJobs(const std::string& url, const std::vector<std::string>& ids,
                                      ProgressDisplay& display) {
  std::vector<nlohmann::json> jobs(ids.size());
  std::vector<std::exception_ptr> failures(ids.size());
  {
    std::vector<std::jthread> threads;  // joined at the end of the block
    threads.reserve(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          Service service(url);
          jobs[i] =
              WatchJob(service, ids[i], [&](const ProgressRow& row) { display.Update(i, row); });
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    }
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return jobs;
}

std::vector<nlohmann::json> WatchMany(const std::string& url, const std::vector<std::string>& ids,
                                      std::FILE* out, ProgressDisplay::Kind kind) {
  constexpr size_t kMostAtOnce = 16;
  const bool few = ids.size() <= kMostAtOnce;
  ProgressDisplay display(out, kind, few ? ids.size() : 1);
  if (few) return WatchJobs(url, ids, display);
  Service service(url);
  std::vector<nlohmann::json> jobs;
  size_t bad = 0;
  for (const std::string& id : ids) {
    jobs.push_back(WatchJob(service, id, [](const ProgressRow&) {}));
    if (ExitStatusOf(jobs.back()) != kExitOk) ++bad;
    ProgressRow row;
    row.label = std::to_string(ids.size()) + " jobs";
    row.phase = "waiting";
    row.percent = static_cast<int>(jobs.size() * 100 / ids.size());
    row.remark = std::to_string(jobs.size()) + " ended";
    if (bad > 0) row.remark += ", " + std::to_string(bad) + " badly";
    display.Update(0, row);
  }
  return jobs;
}

}  // namespace millrace::cli
