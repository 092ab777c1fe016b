#include <charconv>
#include <utility>

#include "api/live/event_feed.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"

namespace millrace::api {
namespace {

constexpr int64_t kMaxSequence = int64_t{1} << 53;

// Returns the sequence number of the last event that the client has; 0 if it has none. Some clients
// send an empty field before their first event.
int64_t LastEventId(const http::Request& request) {
  const std::string_view text =
      http::TrimmedOws(request.headers.Find("Last-Event-ID").value_or(""));
  if (text.empty()) return 0;
  int64_t sequence = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sequence);
  if (error != std::errc() || end != text.data() + text.size() || sequence < 0 ||
      sequence > kMaxSequence) {
    throw Error(ErrorCode::kInvalidRequest,
                "the header Last-Event-ID must be the id of an event of this job");
  }
  return sequence;
}

}  // namespace

void AddEventRoutes(http::Router& router, ApiContext& context) {
  router.Add("GET", "/v1/jobs/{id}/events",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               const std::string& job_id = JobIdOf(request);
               context.events.Follow(responder, job_id, LastEventId(request));
             });
}

}  // namespace millrace::api
