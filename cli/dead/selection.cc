#include "cli/dead/selection.h"

#include <algorithm>
#include <cstdio>

#include "cli/base/exit_status.h"
#include "cli/show/print.h"
#include "cli/show/report.h"
#include "cli/show/terminal.h"
#include "core/base/clock.h"
#include "core/base/error.h"

namespace millrace::cli {
namespace {

constexpr int64_t kMostAtOnce = 10'000;  // docs/http-api.md

bool CanAsk() { return IsTerminal(stdin) && IsTerminal(stderr); }

}  // namespace

CheckedSelection Check(const DeadSelection& selection, const std::string& verb) {
  const nlohmann::json filter = FilterJson(selection.filter, SystemClock().WallNow());
  const bool filtered = !filter.empty() || selection.all;
  if (selection.jobs.empty() != filtered) {
    throw Error(ErrorCode::kInvalidRequest,
                filtered ? "name jobs, or select letters by options, not both"
                         : "name jobs, or select letters by --code, --signature … or --all");
  }
  if (selection.all && !filter.empty()) {
    throw Error(ErrorCode::kInvalidRequest, "--all cannot be combined with another condition");
  }
  if (selection.dry_run && !filtered) {
    throw Error(ErrorCode::kInvalidRequest,
                "--dry-run counts letters that options select, not named jobs");
  }
  if (filtered && !selection.dry_run && !selection.yes && !CanAsk()) {
    throw Error(
        ErrorCode::kInvalidRequest,
        "this needs a terminal to confirm; count with --dry-run, then add --yes to " + verb);
  }
  return {.by_filter = filtered, .filter = filter};
}

bool IsConfirmed(const DeadSelection& selection, const std::string& what) {
  return selection.yes || Confirm(what.c_str());
}

int ForEachJob(const std::vector<std::string>& jobs,
               const std::function<void(const std::string& job)>& act) {
  int status = kExitOk;
  for (const std::string& job : jobs) {
    try {
      act(job);
    } catch (const Error& error) {
      std::fputs(DescribeError(error).c_str(), stderr);
      status = std::max<int>(status, ExitStatusOf(error));
      if (status == kExitUnavailable) break;
    }
  }
  return status;
}

std::string CountOfLetters(int64_t count) {
  return std::to_string(count) + (count == 1 ? " dead letter" : " dead letters");
}

void TellIfCapped(int64_t count) {
  if (count >= kMostAtOnce) Tell("this is the most for one command; repeat it for the rest");
}

}  // namespace millrace::cli
