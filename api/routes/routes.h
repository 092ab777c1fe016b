#pragma once

#include <atomic>
#include <chrono>

#include "api/http_server/router.h"
#include "api/link/broker_client.h"
#include "api/live/event_feed.h"
#include "api/live/job_waiter.h"
#include "api/live/work_queue.h"
#include "api/reply/presets.h"
#include "core/base/clock.h"
#include "core/media/media_store.h"

namespace millrace::api {

// The tools of all resources. Owned by the Api; outlives the server that runs the routes.
struct ApiContext {
  const Clock& clock;
  const Presets& presets;
  MediaStore& media;
  BrokerClient& broker;
  JobWaiter& waiter;
  EventFeed& events;
  WorkQueue& disk;
  const std::atomic<bool>& draining;
};

// Each adds the calls of one resource; docs/http-api.md documents them. Handlers keep a reference
// to the context.
void AddUploadRoutes(http::Router& router, ApiContext& context);
void AddSubmitRoute(http::Router& router, ApiContext& context);
void AddJobListRoute(http::Router& router, ApiContext& context);
void AddJobRoutes(http::Router& router, ApiContext& context);
void AddEventRoutes(http::Router& router, ApiContext& context);
void AddOutputRoutes(http::Router& router, ApiContext& context);
void AddProbeRoute(http::Router& router, ApiContext& context);
void AddPresetRoutes(http::Router& router, ApiContext& context);
void AddDeadLetterRoutes(http::Router& router, ApiContext& context);
void AddDeadLetterFileRoutes(http::Router& router, ApiContext& context);
void AddRedriveRoutes(http::Router& router, ApiContext& context);
void AddPurgeRoutes(http::Router& router, ApiContext& context);
void AddServiceRoutes(http::Router& router, ApiContext& context);

// Throws Error{kJobNotFound} for what cannot be the id of a job; otherwise returns {id} of the
// path.
const std::string& JobIdOf(const http::Request& request);

// Returns the moment until which a client waits, in the protocol's form.
int64_t DeadlineUnixMs(const Clock& clock, std::chrono::milliseconds allowed);

// Looks an input up: {"name","bytes","sha256"}. Throws Error{kUploadNotFound} or
// Error{kInvalidRequest} if it is not there.
nlohmann::json InputFactsOf(const MediaStore& media, const Input& input);
// Answers that an input is not there, naming the field that named it.
http::Response InputProblem(const Error& error, const Input& input);

}  // namespace millrace::api
