#include "core/base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/base/log.h"

namespace millrace {
namespace {

constexpr const char* kVariable = "MILLRACE_FAILPOINTS";

struct Plan {
  enum class Action { kCrash, kError };

  std::string name;
  Action action = Action::kCrash;
  int64_t acts_at = 1;
  std::atomic<int64_t> passed = 0;
};

// A deque: an atomic can be neither copied nor moved.
using Plans = std::deque<Plan>;

[[noreturn]] void RefuseToStart(std::string_view item) {
  std::cerr << kVariable << ": '" << item
            << "' is not <place>=crash or <place>=error, with @<number from 1> after it or not\n";
  std::cerr.flush();
  ::_exit(2);
}

// Returns nullopt unless the text is a whole number from 1.
std::optional<int64_t> ParseCount(std::string_view text) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1) return std::nullopt;
  return count;
}

void AddPlan(std::string_view item, Plans& plans) {
  const size_t equals = item.find('=');
  if (equals == std::string_view::npos || equals == 0) RefuseToStart(item);
  std::string_view action = item.substr(equals + 1);
  Plan& plan = plans.emplace_back();
  plan.name = item.substr(0, equals);
  if (const size_t at = action.find('@'); at != std::string_view::npos) {
    const std::optional<int64_t> count = ParseCount(action.substr(at + 1));
    if (!count) RefuseToStart(item);
    plan.acts_at = *count;
    action = action.substr(0, at);
  }
  if (action != "crash" && action != "error") RefuseToStart(item);
  plan.action = action == "crash" ? Plan::Action::kCrash : Plan::Action::kError;
}

// Returns nullptr if the variable is not set. Never frees the result, as threads may pass a place
// until the process ends.
Plans* LoadPlans() {
  const char* value = std::getenv(kVariable);
  if (value == nullptr || *value == '\0') return nullptr;
  auto* plans = new Plans;
  std::string_view rest = value;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    const std::string_view item = rest.substr(0, end);
    if (!item.empty()) AddPlan(item, *plans);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  LogWarning("failpoints are set: this program will fail on purpose", {{kVariable, value}});
  return plans;
}

void Act(const Plan& plan) {
  if (plan.action == Plan::Action::kError) {
    LogWarning("failed by a failpoint", {{"failpoint", plan.name}});
    throw Error(ErrorCode::kStorageError, "failpoint " + plan.name, {{"failpoint", plan.name}});
  }
  LogWarning("killed by a failpoint", {{"failpoint", plan.name}});
  ::kill(::getpid(), SIGKILL);
  // The kernel may deliver the signal to another thread first: stop this one here.
  while (true) ::pause();
}

}  // namespace

void Failpoint(std::string_view name) {
  static Plans* const plans = LoadPlans();
  if (plans == nullptr) return;
  const Plan* due = nullptr;
  for (Plan& plan : *plans) {
    if (plan.name == name && ++plan.passed == plan.acts_at) due = &plan;
  }
  if (due != nullptr) Act(*due);
}

}  // namespace millrace
