#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/http_server/message.h"
#include "api/http_server/responder.h"

namespace millrace::http {

// Takes a request's body as it arrives, in constant memory. Made by an upload route for one
// request; all calls come from the worker thread of its connection, one after the other. Writing to
// disk there is fine, but it holds up the other connections of that worker; waiting for anything
// else is not. An exception out of any call ends the body and goes to
// ProblemHooks::on_handler_error.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // The next bytes. The sink may answer here already (disk full, say): no more data comes then.
  virtual void Data(std::string_view bytes) = 0;
  // The body is whole. The answer may be given here or later. Nothing is called after this.
  virtual void Done() = 0;
  // The body will never be whole: the client left, stalled or broke the framing, the server ends,
  // or the sink itself answered before the end. Nothing is called after this.
  virtual void Abort() = 0;
};

// Called on a worker thread with the whole request. Exceptions go to
// ProblemHooks::on_handler_error.
using Handler = std::function<void(const Request&, ResponderPtr)>;
// Called with the head only, before any of the body is read. Returns the sink of the body, or
// nullptr after answering at once (the body is then not read and the connection closes).
using UploadOpener = std::function<std::unique_ptr<BodySink>(const Request&, ResponderPtr)>;

struct Route {
  struct Part {
    enum class Kind { kLiteral, kName, kRest };
    Kind kind;
    std::string text;  // the literal, or the parameter's name
  };

  std::string method = {};
  std::vector<Part> parts = {};
  std::variant<Handler, UploadOpener> action = {};
  size_t body_bytes = 0;  // the bound of a buffered body; 0 is Limits::body_bytes
};

// Maps requests to the code that answers them. Filled before the server starts, constant
// afterwards, so all threads may read it. Pistache's own router is not used: it decodes no escapes,
// sees "a//b" as "a/b", and changes a map on the first request of each unregistered method while
// other threads read it.
class Router {
 public:
  // `pattern` is "/v1/jobs/{id}/outputs/{path...}": literal segments, {name} for one segment, and a
  // last {name...} for one or more (joined by slashes again). Literals win over names, names over
  // rests. Throws std::invalid_argument for a malformed or doubled pattern.
  void Add(std::string method, std::string_view pattern, Handler handler, size_t body_bytes = 0);
  void AddUpload(std::string method, std::string_view pattern, UploadOpener opener);

  struct Match {
    const Route* route = nullptr;  // lives as long as the router
    Parameters parameters = {};
  };
  // HEAD falls back to GET. Returns nullopt if no route has this path and method.
  std::optional<Match> Find(std::string_view method,
                            const std::vector<std::string>& segments) const;
  // The value of an Allow field for this path; empty if no route has the path at all.
  std::string AllowedMethods(const std::vector<std::string>& segments) const;

 private:
  void Insert(Route route, std::string_view pattern);
  std::optional<Match> FindExact(std::string_view method,
                                 const std::vector<std::string>& segments) const;

  std::vector<Route> routes_;
};

}  // namespace millrace::http
