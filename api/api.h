#pragma once

#include <atomic>
#include <filesystem>
#include <memory>

#include "api/http_server/router.h"
#include "api/link/broker_client.h"
#include "api/live/event_feed.h"
#include "api/live/job_waiter.h"
#include "api/live/work_queue.h"
#include "api/reply/presets.h"
#include "api/routes/routes.h"
#include "core/base/clock.h"
#include "core/media/media_store.h"

namespace millrace::api {

struct ApiOptions {
  BrokerClientOptions broker;
  FolderMediaStoreOptions media;
  std::filesystem::path presets_dir;  // empty: only the shipped presets
  EventFeedOptions events;
};

// Millrace's HTTP API without the HTTP server: the calls, and the tools that they share. Holds no
// job state; any number may run against one broker. Owned by main(); must outlive the server that
// runs its routes.
class Api {
 public:
  // Throws Error if a preset is wrong or the media folders cannot be made.
  explicit Api(ApiOptions options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  http::Router MakeRouter();
  // Answers the requests that wait for a job, ends the event streams, and says on /readyz that this
  // server is going.
  void Drain();

 private:
  SystemClock clock_;
  Presets presets_;
  std::unique_ptr<MediaStore> media_;
  std::atomic<bool> draining_{false};
  std::unique_ptr<BrokerClient> broker_;
  JobWaiter waiter_;
  EventFeed events_;
  ApiContext context_;
  WorkQueue disk_;  // last: its tasks use the others
};

}  // namespace millrace::api
