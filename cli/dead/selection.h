#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/dead/redrive.h"

namespace millrace::cli {

// What the options select of the queue, checked before the service is asked.
struct CheckedSelection {
  bool by_filter = false;
  nlohmann::json filter;  // as the API takes it; {} for all
};

// Throws Error{kInvalidRequest} unless either jobs or a filter are named, and where a filter is and
// nobody can be asked: without `yes`, `dry_run` or a terminal.
CheckedSelection Check(const DeadSelection& selection, const std::string& verb);

// Asks at the terminal unless `yes` was given. `what` is the question.
bool IsConfirmed(const DeadSelection& selection, const std::string& what);

// Calls `act` for each job, and goes on after an error of one, which it prints, unless the service
// is away. Returns the worst exit status: kExitUnavailable then.
int ForEachJob(const std::vector<std::string>& jobs,
               const std::function<void(const std::string& job)>& act);

// "1 dead letter", "12 dead letters".
std::string CountOfLetters(int64_t count);
// Says on standard error that there may be more where the count is the most that is done at once.
void TellIfCapped(int64_t count);

}  // namespace millrace::cli
