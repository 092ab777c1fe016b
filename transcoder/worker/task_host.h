#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "core/model/task.h"
#include "transcoder/worker/lease.h"

namespace millrace::worker {

// Takes the session's orders; implemented by child/child_host.h. Orders return at once and never
// throw; their results come through TaskEvents, never from within an order.
class TaskHost {
 public:
  virtual ~TaskHost() = default;
  virtual void Start(const Assignment& assignment) = 0;
  virtual void StartProbe(const ProbeOrder& order) = 0;
  // Kills the child of a lease and discards its files. Reported as OnStopped, unless the end of the
  // run was on its way already. Does nothing if the lease has no run.
  virtual void Stop(const Lease& lease) = 0;
  // Removes the files of a lease whose run has ended.
  virtual void Discard(const Lease& lease) = 0;
  // From now on, reports failures at once, without excerpts.
  virtual void SkipExcerpts() = 0;
};

// Receives the results of orders. Each started run is followed by exactly one of OnFinished,
// OnFailed and OnStopped; each probe by one of OnProbed and OnProbeFailed.
class TaskEvents {
 public:
  virtual ~TaskEvents() = default;
  virtual void OnStarted(const Lease& lease) = 0;
  virtual void OnMedia(const Lease& lease, nlohmann::json media) = 0;
  virtual void OnProgress(const Lease& lease, Progress progress) = 0;
  virtual void OnFinished(const Lease& lease, Manifest manifest, const ResourceUsage& usage) = 0;
  virtual void OnFailed(const Lease& lease, AttemptFailure failure) = 0;
  virtual void OnStopped(const Lease& lease) = 0;
  virtual void OnProbed(const std::string& probe, nlohmann::json media) = 0;
  virtual void OnProbeFailed(const std::string& probe, const Error& error) = 0;
};

}  // namespace millrace::worker
