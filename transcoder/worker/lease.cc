#include "transcoder/worker/lease.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/model/job.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::worker {
namespace {

template <typename Read>
auto OrProtocolError(const char* what, Read read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, std::string(what) + ": " + error.what());
  }
}

bool IsSafeName(const std::string& name) {
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

void CheckName(const Lease& lease) {
  if (IsSafeName(lease.task)) return;
  throw Error(ErrorCode::kProtocolError, "not the name of a task: '" + lease.task + "'");
}

Lease LeaseFromJson(const nlohmann::json& json) {
  Lease lease = message::FromJson<Lease>("lease", json);
  CheckName(lease);
  return lease;
}

Assignment AssignmentFromJson(const nlohmann::json& body) {
  message::Assign assign = message::Read<message::Assign>(body);
  CheckName(assign.lease);
  return OrProtocolError("not an assignment", [&] {
    return Assignment{.lease = std::move(assign.lease),
                      .job = std::move(assign.job),
                      .attempt = assign.attempt,
                      .input = InputFromJson(assign.input),
                      .input_name = std::move(assign.input_name),
                      .spec = SpecFromJson(assign.spec)};
  });
}

ProbeOrder ProbeOrderFromJson(const nlohmann::json& body) {
  message::ProbeOrder order = message::Read<message::ProbeOrder>(body);
  return OrProtocolError("not a probe", [&] {
    return ProbeOrder{.probe = std::move(order.probe),
                      .input = InputFromJson(order.input),
                      .input_name = std::move(order.input_name),
                      .deadline = std::chrono::milliseconds(order.deadline_ms)};
  });
}

}  // namespace millrace::worker
