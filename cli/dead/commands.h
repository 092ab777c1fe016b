#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/client/commands.h"
#include "cli/dead/filter.h"

namespace millrace::cli {

// The commands that look at dead letters and change nothing. As those of client_commands.h.

struct DeadListOptions {
  DeadFilter filter;
  std::string state = "open";
  int limit = 50;
  bool group = false;  // one line for all that failed alike
};

int RunDeadList(const ClientOptions& client, const DeadListOptions& options);
int RunDeadShow(const ClientOptions& client, const std::string& job);
// The log goes to standard output as it is; on a terminal without what would steer it.
int RunDeadLog(const ClientOptions& client, const std::string& job, std::optional<int64_t> fence);
// An empty `folder` is one with the job's name in the current folder.
int RunDeadFetch(const ClientOptions& client, const std::string& job, const std::string& folder);
// "-" is standard output; an empty `file` is the input's own name in the current folder, where no
// file of that name may be yet.
int RunDeadInput(const ClientOptions& client, const std::string& job, const std::string& file);

}  // namespace millrace::cli
