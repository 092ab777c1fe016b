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

// How far a storm of submissions has come.
struct StormProgress {
  std::atomic<bool> begun{false};  // its input is uploaded
  std::atomic<bool> ended{false};
  std::atomic<size_t> unanswered{0};  // requests that were, or were refused for the moment
};

struct LoadOptions {
  std::vector<std::string> urls;  // of the apis
  std::string prefix;             // of the Idempotency-Keys
  uint64_t seed = 0;
  size_t clients = 4;
  size_t most_open = 120;  // jobs that have not ended; more wait to be submitted
  size_t most_jobs = SIZE_MAX;
};

// Clients of the service, each a thread: they upload and submit, again and again under the same
// Idempotency-Key until they are told that the job was taken, cancel some, and look at what becomes
// of them. All that they are told goes into the record.
class Load {
 public:
  Load(LoadOptions options, const std::vector<JobKind>& kinds, Record& record);
  // Ends the clients at once, whatever they wait for.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // No new jobs from now on; those that were begun are submitted to the end. Watching goes on.
  void StopSubmitting() { submitting_ = false; }
  // Whether all that was begun has been acknowledged, after StopSubmitting() or `most_jobs`.
  bool is_settled() const { return busy_ == 0; }

  // So many submissions of one and the same key, from so many threads at once, begun now.
  std::shared_ptr<const StormProgress> SubmitAtOnce(size_t times, size_t threads);

 private:
  // Of one thread.
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
  // The submissions of one of the threads of a storm.
  void RunOneOfStorm(size_t times, const std::string& key, const nlohmann::json& body,
                     StormProgress& progress,
                     const std::function<void(const nlohmann::json&)>& took);
  // What escapes from a thread is a violation: the service has answered what cannot be understood.
  void Guarded(const std::function<void()>& run);
  // One job from upload to acknowledgement. Returns when the load ends, too.
  void SubmitOne(Hands& hands, const std::string& key);
  // Empty: the load ended before it was acknowledged.
  nlohmann::json UploadUntilTaken(Hands& hands, const std::string& media, const std::string& name);
  nlohmann::json SubmitUntilTaken(Hands& hands, const std::string& key, const nlohmann::json& body,
                                  StormProgress* progress = nullptr);
  void MaybeCancel(Hands& hands, const std::string& id);
  // The event stream of a job to its end, begun again where it broke off.
  void Follow(Hands& hands, const std::string& id);
  void Look(Hands& hands, const std::string& id, bool wait);
  // An answer that is no refusal for a while breaks a promise.
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
