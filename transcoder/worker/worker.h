#pragma once

#include <filesystem>
#include <memory>

#include "core/base/clock.h"
#include "core/base/unique_fd.h"
#include "core/media/media_store.h"
#include "transcoder/worker/broker_link.h"
#include "transcoder/worker/capabilities.h"
#include "transcoder/worker/child/child_host.h"
#include "transcoder/worker/session.h"
#include "transcoder/worker/settings.h"

namespace millrace::worker {

// The worker program: one thread that waits for the broker, the zygote, the reports of children,
// the clock and SIGTERM or SIGINT. Owned by main(), and used by its thread.
class Worker {
 public:
  // Blocks SIGTERM and SIGINT, which Run() receives. Throws Error if a part cannot be started.
  Worker(const WorkerSettings& settings, const Capabilities& capabilities, const Clock& clock);

  // Returns when the worker has been told to stop and has left the broker.
  void Run();

 private:
  void Wait();
  void TakeSignals();

  const Clock& clock_;
  const std::filesystem::path alive_file_;  // empty: none
  UniqueFd signals_;  // first: the signals are blocked before ZeroMQ starts its threads
  std::unique_ptr<MediaStore> store_;
  ChildHost host_;
  BrokerLink link_;
  Session session_;
};

}  // namespace millrace::worker
