#include "transcoder/encode/stages/stage_threads.h"

#include <chrono>
#include <new>
#include <utility>

namespace millrace::encode {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(50);

}  // namespace

void StageThreads::Fail(std::exception_ptr error) {
  {
    const MutexLock lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  for (const auto& stop : stops_) stop();
}

void StageThreads::RunStage(const Stage& stage, const ReachedSeconds& reached) {
  auto fail = [&](const Error& error) {
    Fail(std::make_exception_ptr(WithPlace(error, {.stage = stage.name,
                                                   .stream = stage.stream,
                                                   .codec = stage.codec,
                                                   .pts_seconds = reached(stage.stream)})));
  };
  try {
    stage.run();
  } catch (const Error& error) {
    fail(error);
  } catch (const std::bad_alloc&) {
    fail(Error(ErrorCode::kOutOfMemory, "out of memory"));
  } catch (const std::exception& error) {
    fail(Error(ErrorCode::kInternal, error.what()));
  }
  {
    const MutexLock lock(mutex_);
    --running_;
  }
  ended_.NotifyAll();
}

bool StageThreads::AwaitEnd() {
  const auto deadline = std::chrono::steady_clock::now() + kWatchInterval;
  const MutexLock lock(mutex_);
  while (running_ > 0 && std::chrono::steady_clock::now() < deadline) {
    ended_.WaitUntil(mutex_, deadline);
  }
  return running_ == 0;
}

void StageThreads::Run(const ReachedSeconds& reached, const std::function<void()>& watch) {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    running_ = stages_.size();
  }
  for (const Stage& stage : stages_) {
    threads.emplace_back([this, &stage, &reached] { RunStage(stage, reached); });
  }
  watch();  // tells at once that the task has begun to work
  while (!AwaitEnd()) watch();
  for (std::thread& thread : threads) thread.join();
  const MutexLock lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

}  // namespace millrace::encode
