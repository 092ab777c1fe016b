#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "api/http_server/limits.h"
#include "api/http_server/problem.h"
#include "api/http_server/router.h"
#include "core/base/clock.h"

namespace millrace::http {

struct ServerOptions {
  std::string address = "127.0.0.1";  // IPv4 or IPv6, "::" and "0.0.0.0" for all
  uint16_t port = 0;                  // 0: any free one
  int threads = 2;                    // handlers run on these
  Limits limits;
  std::shared_ptr<const Clock> clock = std::make_shared<SystemClock>();
};

// An HTTP/1.1 server: Pistache's listener and epoll workers underneath, our own framing, deadlines
// and writing on top (pistache_worker.h says why). No TLS: a reverse proxy in front does that.
//
// Handlers run on the worker threads and should not block; answers may come from any thread.
// Start() and Stop() are called by the owner's thread, once each.
class Server {
 public:
  Server(ServerOptions options, Router router, ProblemHooks hooks = DefaultProblemHooks());
  ~Server();  // Stop() without grace, if that was not done
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Listens and returns. For the whole process it sets SIGPIPE to be ignored and raises the soft
  // limit of open files to the hard one. Throws Error if the address cannot be had.
  void Start();
  // REQUIRES: started.
  uint16_t port() const;
  size_t open_connections() const;

  // Closes the listening socket and the idle connections, lets the requests that have begun to
  // arrive finish and their answers leave, for up to `grace`; what is left then is reset. Answers
  // given after that are dropped. REQUIRES: not called from a handler.
  void Stop(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::http
