#pragma once

#include <string>
#include <vector>

#include "cli/base/client_options.h"
#include "cli/dead/filter.h"

namespace millrace::cli {

// The commands that take letters out of the queue; they work as those of cli/client/commands.h do.
// They act on named jobs, or on all open letters that a filter selects. Of these they show the
// count first, and act only with `yes` or after a confirmation at the terminal.

struct DeadSelection {
  std::vector<std::string> jobs;
  DeadFilter filter;
  bool all = false;  // select every open letter
  bool dry_run = false;
  bool yes = false;
};

struct DeadRedriveOptions {
  DeadSelection selection;
  std::string spec;     // JSON, "@FILE", "@-" or empty
  bool canary = false;  // redrive one first, the others if it succeeds
  bool wait = false;
};

int RunDeadRedrive(const ClientOptions& client, const DeadRedriveOptions& options);
int RunDeadPurge(const ClientOptions& client, const DeadSelection& selection);

}  // namespace millrace::cli
