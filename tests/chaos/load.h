#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/record.h"
#include "tests/chaos/workload.h"
#include "tests/system/http.h"

namespace millrace::chaos {

// The progress of a storm of submissions.
struct StormProgress {
  std::atomic<bool> begun{false};  // its input is uploaded
  std::atomic<bool> ended{false};
  std::atomic<size_t> unanswered{0};  // requests without an answer, or refused for the moment
};

struct LoadOptions {
  std::vector<std::string> urls;  // of the apis
  std::string prefix;             // of the Idempotency-Keys
  uint64_t seed = 0;
  size_t clients = 4;
  size_t most_open = 120;  // limit of jobs that have not ended; submissions beyond it wait
  size_t most_jobs = SIZE_MAX;
};

// Clients of the service, one per thread. They upload, submit under one Idempotency-Key until the
// job is acknowledged, cancel some jobs and watch the rest. The record keeps every answer.
class Load {
 public:
  Load(LoadOptions options, const std::vector<JobKind>& kinds, Record& record);
  // Stops the clients at once, whatever they wait for.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Starts no new jobs, but finishes submitting those already begun. Watching goes on.
  void StopSubmitting() { submitting_ = false; }
  // Returns true if every job begun is acknowledged, after StopSubmitting() or `most_jobs`.
  bool is_settled() const { return busy_ == 0; }

  // Starts submitting the same key `times` times from `threads` threads at once.
  std::shared_ptr<const StormProgress> SubmitAtOnce(size_t times, size_t threads);

 private:
  // State of one thread.
  struct Hands {
    std::vector<harness::Http> apis;
    std::mt19937_64 random;
    KindPicker kinds;

    harness::Http& Any() { return apis[random() % apis.size()]; }
  };

  Hands MakeHands(uint64_t number) const;
  void RunClient(uint64_t number);
  void RunWatcher(uint64_t number);
  void RunFollower(uint64_t number);
  void RunStorm(size_t times, size_t threads, const std::string& key, StormProgress& progress);
  // Submits on one of the threads of a storm.
  void RunOneOfStorm(size_t times, const std::string& key, const nlohmann::json& body,
                     StormProgress& progress,
                     const std::function<void(const nlohmann::json&)>& took);
  // Runs `run`. An exception is a violation: the service sent an answer that cannot be understood.
  void Guarded(const std::function<void()>& run);
  // Takes one job from upload to acknowledgement. Also returns when the load ends.
  void SubmitOne(Hands& hands, const std::string& key);
  // Returns an empty value if the load ended before the upload was acknowledged.
  nlohmann::json UploadUntilTaken(Hands& hands, const std::string& media, const std::string& name);
  nlohmann::json SubmitUntilTaken(Hands& hands, const std::string& key, const nlohmann::json& body,
                                  StormProgress* progress = nullptr);
  void MaybeCancel(Hands& hands, const std::string& id);
  // Follows the event stream of a job to its end, and resumes it where it broke off.
  void Follow(Hands& hands, const std::string& id);
  void Look(Hands& hands, const std::string& id, bool wait);
  // Records a violation unless the answer is a temporary refusal.
  void CheckRefusal(const std::string& request, const harness::HttpAnswer& answer);
  void Pause(std::chrono::milliseconds time) const;

  const LoadOptions options_;
  const std::vector<JobKind>& kinds_;
  Record& record_;
  std::atomic<bool> submitting_{true};
  std::atomic<bool> ended_{false};
  std::atomic<size_t> busy_;
  std::atomic<uint64_t> next_{0};  // number of the next job
  std::atomic<size_t> storms_{0};
  std::vector<std::thread> threads_;
};

}  // namespace millrace::chaos
