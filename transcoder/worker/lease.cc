#include "transcoder/worker/lease.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/job.h"

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

nlohmann::json ToJson(const Lease& lease) { return {{"task", lease.task}, {"fence", lease.fence}}; }

Lease LeaseFromJson(const nlohmann::json& json) {
  Lease lease = OrProtocolError(
      "not a lease", [&] { return Lease{.task = json.at("task"), .fence = json.at("fence")}; });
  if (!IsSafeName(lease.task)) {
    throw Error(ErrorCode::kProtocolError, "not the name of a task: '" + lease.task + "'");
  }
  return lease;
}

Assignment AssignmentFromJson(const nlohmann::json& body) {
  return OrProtocolError("not an assignment", [&] {
    return Assignment{.lease = LeaseFromJson(body),
                      .job = body.at("job"),
                      .attempt = body.at("attempt"),
                      .input = InputFromJson(body.at("input")),
                      .input_name = body.value("input_name", ""),
                      .spec = SpecFromJson(body.at("spec"))};
  });
}

ProbeOrder ProbeOrderFromJson(const nlohmann::json& body) {
  return OrProtocolError("not a probe", [&] {
    return ProbeOrder{.probe = body.at("probe"),
                      .input = InputFromJson(body.at("input")),
                      .input_name = body.value("input_name", ""),
                      .deadline = std::chrono::milliseconds(body.at("deadline_ms"))};
  });
}

}  // namespace millrace::worker
