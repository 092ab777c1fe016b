#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "api/http_server/message.h"
#include "core/base/mutex.h"

namespace millrace::http {

class Connection;

// One callback that runs when the client of one exchange is gone for good. Shared by the exchange's
// Responder, its stream and (weakly) its connection. All methods may be called from any thread.
class DisconnectSignal {
 public:
  // Replaces the callback; calls it at once if the client is gone already.
  void Set(std::function<void()> callback);
  void Fire();

 private:
  Mutex mutex_;
  bool fired_ GUARDED_BY(mutex_) = false;
  std::function<void()> callback_ GUARDED_BY(mutex_);
};

// A streamed answer (chunked; for HTTP/1.0 ended by closing). All methods may be called from any
// thread. Destroyed without End(), it breaks the connection off, so that the client can tell a cut
// answer from a whole one.
class BodyStream {
 public:
  enum class WriteResult {
    kQueued,
    kFull,    // the client reads too slowly: nothing of this piece was queued
    kClosed,  // the client is gone, or the stream has ended: nothing was queued
  };

  BodyStream(std::shared_ptr<Connection> connection, uint64_t exchange,
             std::shared_ptr<DisconnectSignal> disconnect);
  BodyStream(const BodyStream&) = delete;
  BodyStream& operator=(const BodyStream&) = delete;
  ~BodyStream();

  // Queues a piece behind the at most Limits::stream_queue_bytes that the client has not read yet.
  // An empty piece does nothing.
  WriteResult Write(std::string_view piece);
  void End();

 private:
  const std::shared_ptr<Connection> connection_;
  const uint64_t exchange_;
  const std::shared_ptr<DisconnectSignal> disconnect_;  // keeps the callback alive
  std::atomic<bool> ended_{false};
};

// The one answer to one request. Made by the server, shared by whoever will answer; all methods may
// be called from any thread, later than the handler's return, and never block on the client. The
// first answer counts. Let go of without an answer, it sends a 500, so that no client waits for
// ever.
class Responder {
 public:
  Responder(std::shared_ptr<Connection> connection, uint64_t exchange, Request request);
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  ~Responder();

  const Request& request() const { return request_; }

  // Each returns false if the client is gone or an answer was given already; nothing is sent then.
  // A header that is no legal field (a line break in a value) is answered with 500 instead.
  bool Send(Response response);
  // Answers conditional (If-None-Match: 304) and range requests (206, 416) too.
  bool SendFile(FileResponse response);
  // Returns nullptr where Send would return false.
  std::unique_ptr<BodyStream> BeginStream(int status, Headers headers);

  // `callback` runs at most once, on a worker thread (or at once on this one), if the client resets
  // the connection or stops reading before the answer is out. It must not block. A client that only
  // ends its sending side may still be waiting for the answer: that alone does not count.
  void OnDisconnect(std::function<void()> callback);

 private:
  bool Claim() { return !answered_.exchange(true); }

  const std::shared_ptr<Connection> connection_;
  const uint64_t exchange_;
  const Request request_;
  const std::shared_ptr<DisconnectSignal> disconnect_;
  std::atomic<bool> answered_{false};
};
using ResponderPtr = std::shared_ptr<Responder>;

}  // namespace millrace::http
