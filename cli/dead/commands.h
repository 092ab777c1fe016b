#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/base/client_options.h"
#include "cli/dead/filter.h"

namespace millrace::cli {

// The commands that read dead letters; they work as those of cli/client/commands.h do.

struct DeadListOptions {
  DeadFilter filter;
  std::string state = "open";
  int limit = 50;
  bool group = false;  // one line for each kind of failure
};

int RunDeadList(const ClientOptions& client, const DeadListOptions& options);
int RunDeadShow(const ClientOptions& client, const std::string& job);
// Prints the log as it is, or, on a terminal, made printable.
int RunDeadLog(const ClientOptions& client, const std::string& job, std::optional<int64_t> fence);
// Downloads into `folder`; "" stands for ./JOB.
int RunDeadFetch(const ClientOptions& client, const std::string& job, const std::string& folder);
// Writes the failing input to `file`. "-" stands for standard output, "" for a new file in the
// current folder with the input's own name.
int RunDeadInput(const ClientOptions& client, const std::string& job, const std::string& file);

}  // namespace millrace::cli
