#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/http_server/server.h"
#include "tests/fakes/raw_http_client.h"

namespace millrace::http {

// An event that happens once; waiting for it has a deadline.
class Event {
 public:
  void Set() {
    std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, RawHttpClient::kPatience, [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// Polls for something that another thread brings about; false after the patience of a client.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Responders that a test answers later, from its own thread.
class HeldAnswers {
 public:
  Handler Holder() {
    return [this](const Request&, ResponderPtr responder) {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(responder));
      arrived_.notify_all();
    };
  }
  // Waits until there is one. Returns nullptr if none comes.
  ResponderPtr Take() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, RawHttpClient::kPatience, [this] { return !held_.empty(); })) {
      return nullptr;
    }
    ResponderPtr first = std::move(held_.front());
    held_.erase(held_.begin());
    return first;
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return held_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<ResponderPtr> held_;
};

// A record of the calls of an upload's sink.
struct SinkLog {
  std::mutex mutex;
  std::string data;
  Event finished;  // Done() or Abort()
  bool done = false;
  bool aborted = false;
};

// Collects a body and answers 201 with its size.
class CollectingSink final : public BodySink {
 public:
  CollectingSink(std::shared_ptr<SinkLog> log, ResponderPtr responder)
      : log_(std::move(log)), responder_(std::move(responder)) {}
  void Data(std::string_view bytes) override {
    std::lock_guard lock(log_->mutex);
    log_->data += bytes;
  }
  void Done() override {
    log_->done = true;
    log_->finished.Set();
    responder_->Send({.status = 201, .body = std::to_string(log_->data.size())});
  }
  void Abort() override {
    log_->aborted = true;
    log_->finished.Set();
  }

 private:
  const std::shared_ptr<SinkLog> log_;
  const ResponderPtr responder_;
};

inline Handler Answering(std::string body) {
  return [body](const Request&, const ResponderPtr& responder) {
    responder->Send({.headers = {{"Content-Type", "text/plain"}}, .body = body});
  };
}

// A server on a free loopback port with routes that most tests need: GET /hello; POST /echo answers
// the body; GET /held is answered by `held`; PUT /upload collects into `log`.
class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    options_.limits.tick = std::chrono::milliseconds(20);
    router_.Add("GET", "/hello", Answering("hello"));
    router_.Add("POST", "/echo", [](const Request& request, const ResponderPtr& responder) {
      responder->Send({.body = request.body});
    });
    router_.Add("GET", "/held", held_.Holder());
    router_.AddUpload("PUT", "/upload", [this](const Request&, ResponderPtr responder) {
      return std::make_unique<CollectingSink>(log_, std::move(responder));
    });
  }

  void Start() {
    server_ = std::make_unique<Server>(options_, std::move(router_), hooks_);
    server_->Start();
  }
  RawHttpClient Connect() { return RawHttpClient(server_->port()); }
  // One request on a connection of its own.
  RawReply Ask(std::string_view request) { return Connect().Exchange(request); }

  ServerOptions options_;
  Router router_;
  ProblemHooks hooks_ = DefaultProblemHooks();
  HeldAnswers held_;
  std::shared_ptr<SinkLog> log_ = std::make_shared<SinkLog>();
  std::unique_ptr<Server> server_;  // last: it ends before what its handlers use
};

}  // namespace millrace::http
