#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "api/http_server/message.h"
#include "api/http_server/problem.h"
#include "api/http_server/responder.h"
#include "api/link/pending_call.h"
#include "core/base/error.h"
#include "core/model/messages/body.h"

namespace millrace::api {

// How Millrace's answers look: JSON, and RFC 9457 problems. Free functions without state.

http::Response JsonResponse(int status, const nlohmann::json& body, http::Headers headers = {});
// With Retry-After where the status says that another try can help.
http::Response ProblemResponse(const Error& error);
http::Response ProblemResponse(const Error& error, nlohmann::json problem);
// An exception other than Error is logged and becomes `internal`; nullptr too.
http::Response ProblemResponse(std::exception_ptr exception);

// The words of this service for what the HTTP server refuses by itself, and the door at which
// exceptions out of handlers are caught.
http::ProblemHooks ServiceProblemHooks();

// Sends what `make` returns; an exception out of it becomes its problem. The door of whatever
// answers later than its handler's return.
void Answer(const http::ResponderPtr& responder, const std::function<http::Response()>& make);
// Logs why a reply of the broker cannot be read, and throws Error{kInternal}.
[[noreturn]] void RefuseReply(const Error& error);
// Reads the body of the broker's `ok`. Throws Error{kInternal} for a malformed one, which is no
// fault of the client.
template <message::WholeBody Reply>
Reply ReadReply(nlohmann::json body) {
  try {
    return message::Read<Reply>(std::move(body));
  } catch (const Error& error) {
    RefuseReply(error);
  }
}

// Returns a callback that answers with what `make` makes of the broker's reply, or with the
// broker's error. The second form reads the reply first.
BrokerCallback Answering(
    http::ResponderPtr responder,
    std::function<http::Response(const http::Request& request, nlohmann::json reply)> make);
template <message::WholeBody Reply>
BrokerCallback Answering(
    http::ResponderPtr responder,
    std::function<http::Response(const http::Request& request, Reply reply)> make) {
  return Answering(std::move(responder),
                   [make = std::move(make)](const http::Request& request, nlohmann::json reply) {
                     return make(request, ReadReply<Reply>(std::move(reply)));
                   });
}

// The most that a `Prefer: wait` is granted.
inline constexpr std::chrono::seconds kLongestWait{60};
// What `Prefer: wait=N` (RFC 7240) asks for, cut to kLongestWait; nullopt without it or if it is 0
// or malformed: a preference that cannot be understood is ignored.
std::optional<std::chrono::seconds> PreferredWait(const http::Request& request);
std::string PreferenceApplied(std::chrono::seconds wait);

// "/a b/c" -> "/a%20b/c": a path that may stand in a URL.
std::string PercentEncodedPath(std::string_view path);

}  // namespace millrace::api
