#include "api/reply/replies.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/base/json_text.h"
#include "core/base/log.h"

namespace millrace::api {
namespace {

// All that a client learns of a failure inside.
constexpr std::string_view kInternalDetail = "the request could not be answered; the log has more";

// Returns what the broker asked for, or a few seconds: most reasons for a 503 are over soon.
int RetryAfterSeconds(const Error& error) {
  const auto asked = error.context().find("retry_after_seconds");
  if (asked != error.context().end() && asked->is_number()) {
    return std::clamp(static_cast<int>(std::clamp(asked->get<double>(), 1.0, 3600.0)), 1, 3600);
  }
  return error.code() == ErrorCode::kBrokerUnavailable ? 1 : 5;
}

nlohmann::json ProblemObject(const http::Problem& problem) {
  const auto code = problem.code == "route_not_found" ? ErrorCode::kRouteNotFound
                                                      : ErrorCodeFromName(problem.code);
  if (code) {
    nlohmann::json known = ProblemJson(Error(*code, problem.detail));
    known["status"] = problem.status;
    known["retryable"] = problem.retryable || known["retryable"].get<bool>();
    return known;
  }
  return {{"type", "urn:millrace:problem:" + problem.code},
          {"title", http::ReasonPhrase(problem.status)},
          {"status", problem.status},
          {"detail", problem.detail},
          {"code", problem.code},
          {"blame", NameOf(problem.status < 500 ? Blame::kRequest : Blame::kService)},
          {"retryable", problem.retryable}};
}

std::string Dumped(const nlohmann::json& body) { return ToText(body) + "\n"; }

http::Response ProblemBody(int status, const nlohmann::json& problem) {
  return {.status = status,
          .headers = {{"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}},
          .body = Dumped(problem)};
}

}  // namespace

http::Response JsonResponse(int status, const nlohmann::json& body, http::Headers headers) {
  headers.Set("Content-Type", "application/json");
  if (!headers.Has("Cache-Control")) headers.Set("Cache-Control", "no-cache");
  return {.status = status, .headers = std::move(headers), .body = Dumped(body)};
}

http::Response ProblemResponse(const Error& error) {
  return ProblemResponse(error, ProblemJson(error));
}

http::Response ProblemResponse(const Error& error, nlohmann::json problem) {
  const int status = error.traits().http_status;
  http::Response response = ProblemBody(status, problem);
  if (status == 503) response.headers.Set("Retry-After", std::to_string(RetryAfterSeconds(error)));
  return response;
}

http::Response ProblemResponse(std::exception_ptr exception) {
  const Error internal(ErrorCode::kInternal, std::string(kInternalDetail));
  if (exception == nullptr) {
    // Mostly a client that has gone in the middle of its upload.
    LogInfo("a request ended without an answer");
    return ProblemResponse(internal);
  }
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    if (error.traits().http_status >= 500) {
      LogWarning(
          "a request failed",
          {{"code", error.traits().name}, {"error", error.what()}, {"context", error.context()}});
    }
    return ProblemResponse(error);
  } catch (const std::exception& error) {
    LogError("a handler failed", {{"error", error.what()}});
    return ProblemResponse(internal);
  }
}

http::ProblemHooks ServiceProblemHooks() {
  return {.on_problem =
              [](const http::Problem& problem) {
                http::Response response = ProblemBody(problem.status, ProblemObject(problem));
                if (problem.status == 503) response.headers.Set("Retry-After", "1");
                return response;
              },
          .on_handler_error = [](std::exception_ptr error) { return ProblemResponse(error); }};
}

void Answer(const http::ResponderPtr& responder, const std::function<http::Response()>& make) {
  try {
    responder->Send(make());
  } catch (...) {
    responder->Send(ProblemResponse(std::current_exception()));
  }
}

void RefuseReply(const Error& error) {
  LogError("a reply of the broker is malformed", {{"error", error.what()}});
  throw Error(ErrorCode::kInternal, std::string(kInternalDetail));
}

BrokerCallback Answering(http::ResponderPtr responder,
                         std::function<http::Response(const http::Request&, nlohmann::json)> make) {
  return [responder = std::move(responder), make = std::move(make)](BrokerReply reply) {
    Answer(responder, [&] {
      if (const auto* error = std::get_if<Error>(&reply)) return ProblemResponse(*error);
      return make(responder->request(), std::move(std::get<nlohmann::json>(reply)));
    });
  };
}

std::optional<std::chrono::seconds> PreferredWait(const http::Request& request) {
  for (std::string_view field : request.headers.All("Prefer")) {
    while (!field.empty()) {
      const size_t comma = std::min(field.find(','), field.size());
      const std::string_view preference = http::TrimmedOws(field.substr(0, comma));
      field.remove_prefix(std::min(comma + 1, field.size()));
      const size_t equals = preference.find('=');
      if (equals == std::string_view::npos ||
          !http::EqualsIgnoringCase(http::TrimmedOws(preference.substr(0, equals)), "wait")) {
        continue;
      }
      const std::string_view text = http::TrimmedOws(preference.substr(equals + 1));
      int64_t seconds = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
      if (error != std::errc() || end != text.data() + text.size() || seconds <= 0) continue;
      return std::min(std::chrono::seconds(seconds), kLongestWait);
    }
  }
  return std::nullopt;
}

std::string PreferenceApplied(std::chrono::seconds wait) {
  return fmt::format("wait={}", wait.count());
}

std::string PercentEncodedPath(std::string_view path) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  std::string encoded;
  for (const char c : path) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace millrace::api
