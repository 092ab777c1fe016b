#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/dead/redrive.h"

namespace millrace::cli {

// A selection whose options have been checked.
struct CheckedSelection {
  bool by_filter = false;
  nlohmann::json filter;  // as the API takes it; {} for all
};

// Checks the options of a selection. Throws Error{kInvalidRequest} unless they name either jobs or
// a filter, and for a filter that cannot be confirmed: without `yes`, `dry_run` or a terminal.
CheckedSelection Check(const DeadSelection& selection, const std::string& verb);

// Asks the question `what` at the terminal, unless `yes` was given.
bool IsConfirmed(const DeadSelection& selection, const std::string& what);

// Calls `act` for each job. Prints an error of one and goes on with the next, but stops if the
// service is unreachable. Returns the worst exit status.
int ForEachJob(const std::vector<std::string>& jobs,
               const std::function<void(const std::string& job)>& act);

// "1 dead letter", "12 dead letters".
std::string CountOfLetters(int64_t count);
// Says on standard error that there may be more letters if `count` is the most of one request.
void TellIfCapped(int64_t count);

}  // namespace millrace::cli
