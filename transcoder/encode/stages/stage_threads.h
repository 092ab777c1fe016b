#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/mutex.h"
#include "transcoder/encode/base/failure.h"

namespace millrace::encode {

// Runs the stages of a task, each on a thread of its own. The first error of any stage stops all.
// Owned and used by the thread that runs the task.
class StageThreads {
 public:
  struct Stage {
    const char* name;   // see FailurePlace
    int stream;         // of the input; -1: none in particular
    std::string codec;  // of what it works on; empty: none in particular
    std::function<void()> run;
  };
  void Add(Stage stage) { stages_.push_back(std::move(stage)); }
  // `stop` must make waiting stages return. It is called at least once, by the thread of a stage
  // that failed.
  void OnFailure(std::function<void()> stop) { stops_.push_back(std::move(stop)); }

  // How far a stream has come, in seconds on the input's own time line; any thread calls it.
  using ReachedSeconds = std::function<std::optional<double>(int stream)>;
  // Returns when all stages have returned; calls `watch` at once and about every 50 ms meanwhile.
  // Throws the first error of any stage, with its place in the context. Call it once.
  void Run(const ReachedSeconds& reached, const std::function<void()>& watch) EXCLUDES(mutex_);

 private:
  void RunStage(const Stage& stage, const ReachedSeconds& reached);
  void Fail(std::exception_ptr error) EXCLUDES(mutex_);
  // Waits until all stages have ended, but not for long; returns true if they have.
  bool AwaitEnd() EXCLUDES(mutex_);

  std::vector<Stage> stages_;
  std::vector<std::function<void()>> stops_;

  Mutex mutex_;
  CondVar ended_;
  size_t running_ GUARDED_BY(mutex_) = 0;
  std::exception_ptr error_ GUARDED_BY(mutex_);  // the first
};

}  // namespace millrace::encode
