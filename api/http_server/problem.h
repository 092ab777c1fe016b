#pragma once

#include <exception>
#include <functional>
#include <string>

#include "api/http_server/message.h"

namespace millrace::http {

// A refusal by the server itself, of a request that never reaches a handler. `detail` is for people
// and never holds text of an exception or bytes of the request.
struct Problem {
  int status = 500;
  std::string code = {};  // stable, snake_case
  std::string detail = {};
  bool retryable = false;
};

// The words of the service that runs on this server. Called on worker threads, and on whichever
// thread drops a Responder; they must not block. An exception out of them becomes a bare 500.
struct ProblemHooks {
  // The body of the server's own refusals. Its status is kept, the rest may be changed.
  std::function<Response(const Problem&)> on_problem;
  // A handler threw, or (with nullptr) let go of its Responder without an answer.
  std::function<Response(std::exception_ptr)> on_handler_error;
};

// RFC 9457 application/problem+json.
Response ProblemResponse(const Problem& problem);
// 500 with code `internal`; says nothing of the exception.
Response InternalErrorResponse(std::exception_ptr error);
ProblemHooks DefaultProblemHooks();

}  // namespace millrace::http
