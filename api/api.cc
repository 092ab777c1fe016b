#include "api/api.h"

#include <utility>

namespace millrace::api {
namespace {

constexpr int kDiskThreads = 2;

}  // namespace

Api::Api(ApiOptions options)
    : presets_(options.presets_dir),
      media_(OpenFolderMediaStore(std::move(options.media))),
      broker_(std::make_unique<BrokerClient>(std::move(options.broker), clock_)),
      waiter_(*broker_),
      events_(*broker_, options.events, clock_),
      context_{.clock = clock_,
               .presets = presets_,
               .media = *media_,
               .broker = *broker_,
               .waiter = waiter_,
               .events = events_,
               .disk = disk_,
               .draining = draining_},
      disk_(kDiskThreads) {}

// The link thread calls into all others: it ends first.
Api::~Api() { broker_.reset(); }

http::Router Api::MakeRouter() {
  http::Router router;
  AddUploadRoutes(router, context_);
  AddSubmitRoute(router, context_);
  AddJobListRoute(router, context_);
  AddJobRoutes(router, context_);
  AddEventRoutes(router, context_);
  AddOutputRoutes(router, context_);
  AddProbeRoute(router, context_);
  AddPresetRoutes(router, context_);
  AddDeadLetterRoutes(router, context_);
  AddDeadLetterFileRoutes(router, context_);
  AddRedriveRoutes(router, context_);
  AddPurgeRoutes(router, context_);
  AddServiceRoutes(router, context_);
  return router;
}

void Api::Drain() {
  draining_ = true;
  waiter_.ReleaseAll();
  events_.EndAll();
}

}  // namespace millrace::api
