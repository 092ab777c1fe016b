#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "core/model/encode_spec.h"
#include "core/model/messages/worker.h"
#include "core/model/task.h"

namespace millrace::worker {

// Values that the worker's session and its child processes exchange.

// One attempt at one task, as the broker granted it.
using Lease = message::LeaseName;

// Throws Error{kProtocolError} for a task whose name could not safely name a folder.
void CheckName(const Lease& lease);
// Throws Error{kProtocolError}, also like CheckName().
Lease LeaseFromJson(const nlohmann::json& json);

// A lease and its task.
struct Assignment {
  Lease lease;
  std::string job;
  int attempt = 1;
  Input input;
  std::string input_name;
  EncodeSpec spec;
};

// Throws Error{kProtocolError} on the body of an `assign` that lacks something.
Assignment AssignmentFromJson(const nlohmann::json& body);

// A question about an input, to be answered within the deadline.
struct ProbeOrder {
  std::string probe;
  Input input;
  std::string input_name;
  std::chrono::milliseconds deadline{0};
};

// Throws Error{kProtocolError} on the body of a `probe` that lacks something.
ProbeOrder ProbeOrderFromJson(const nlohmann::json& body);

}  // namespace millrace::worker
