#include "api/http_server/problem.h"

#include <nlohmann/json.hpp>

namespace millrace::http {

Response ProblemResponse(const Problem& problem) {
  const nlohmann::ordered_json body = {
      {"type", "about:blank"},    {"title", ReasonPhrase(problem.status)},
      {"status", problem.status}, {"detail", problem.detail},
      {"code", problem.code},     {"retryable", problem.retryable},
  };
  return {.status = problem.status,
          .headers = {{"Content-Type", "application/problem+json"}},
          .body = body.dump() + "\n"};
}

Response InternalErrorResponse(std::exception_ptr) {
  return ProblemResponse({.status = 500,
                          .code = "internal",
                          .detail = "The server failed to answer this request.",
                          .retryable = true});
}

ProblemHooks DefaultProblemHooks() {
  return {.on_problem = ProblemResponse, .on_handler_error = InternalErrorResponse};
}

}  // namespace millrace::http
