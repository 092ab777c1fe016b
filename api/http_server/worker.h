#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "api/http_server/limits.h"
#include "api/http_server/problem.h"
#include "api/http_server/router.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"

namespace millrace::http {

class Connection;

// The open connections of one server, all workers together. May be called from any thread.
class ConnectionCount {
 public:
  // Returns the count with this one.
  size_t Add();
  void Remove();
  // False if some are still open at `deadline`.
  bool WaitForNone(const Clock& clock, MonotonicTime deadline);
  size_t value() const;

 private:
  mutable Mutex mutex_;
  CondVar none_;
  size_t count_ GUARDED_BY(mutex_) = 0;
};

// Shared by all connections of one server. Constant once the server runs, but for the two members
// that are safe by themselves.
struct ServerContext {
  std::shared_ptr<const Clock> clock;
  Limits limits;
  Router router;
  ProblemHooks hooks;
  std::atomic<bool> draining{false};
  ConnectionCount open_connections;
};

// One event loop thread, seen from its connections. The loop reports readiness to Connection's
// On... methods, always on its own thread.
class Worker {
 public:
  virtual ~Worker() = default;

  // Any thread: calls OnPosted() of this connection soon, on the loop's thread. REQUIRES: not
  // removed.
  virtual void Post(std::shared_ptr<Connection> connection) = 0;
  // Any thread: from now on OnReady() is also called when the socket can take more. REQUIRES: not
  // removed, so the caller holds the connection's mutex.
  virtual void WatchWrites(int socket) = 0;
  // The loop's thread: forgets the connection and closes its socket.
  virtual void Remove(int socket) = 0;
  // The loop's thread: room to read into, shared by all connections of this worker.
  virtual std::span<char> ReadBuffer() = 0;
};

}  // namespace millrace::http
