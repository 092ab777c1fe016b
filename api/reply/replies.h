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

// Builds Millrace's answers: JSON, and RFC 9457 problems. Free functions without state.

http::Response JsonResponse(int status, const nlohmann::json& body, http::Headers headers = {});
// Sets Retry-After where the status says that another try can help.
http::Response ProblemResponse(const Error& error);
http::Response ProblemResponse(const Error& error, nlohmann::json problem);
// Logs an exception other than Error and answers `internal`, as for nullptr.
http::Response ProblemResponse(std::exception_ptr exception);

// Words what the HTTP server refuses by itself, and catches exceptions out of handlers.
http::ProblemHooks ServiceProblemHooks();

// Sends what `make` returns, or the problem that its exception stands for. For answers that are
// given after their handler has returned.
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
// Reads `Prefer: wait=N` (RFC 7240), cut to kLongestWait. Returns nullopt without it, for 0, and
// for a malformed one: RFC 7240 has preferences that cannot be understood ignored.
std::optional<std::chrono::seconds> PreferredWait(const http::Request& request);
std::string PreferenceApplied(std::chrono::seconds wait);

// Escapes a path for a URL: "/a b/c" -> "/a%20b/c".
std::string PercentEncodedPath(std::string_view path);

}  // namespace millrace::api
