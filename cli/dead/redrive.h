#pragma once

#include <string>
#include <vector>

#include "cli/client/commands.h"
#include "cli/dead/filter.h"

namespace millrace::cli {

// The commands that empty the queue of dead letters. As those of client_commands.h. What is meant
// is either jobs by name, or all open letters that a filter lets through: then it is counted first,
// and done only with `yes` or if somebody at the terminal says so.

struct DeadSelection {
  std::vector<std::string> jobs;
  DeadFilter filter;
  bool all = false;  // an empty filter is meant
  bool dry_run = false;
  bool yes = false;
};

struct DeadRedriveOptions {
  DeadSelection selection;
  std::string spec;     // JSON, "@FILE", "@-" or empty
  bool canary = false;  // one goes first, the others follow if it succeeds
  bool wait = false;
};

int RunDeadRedrive(const ClientOptions& client, const DeadRedriveOptions& options);
int RunDeadPurge(const ClientOptions& client, const DeadSelection& selection);

}  // namespace millrace::cli
