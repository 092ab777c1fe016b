#include <fmt/format.h>

#include "cli/base/exit_status.h"
#include "cli/base/text.h"
#include "cli/client/service.h"
#include "cli/dead/redrive.h"
#include "cli/dead/selection.h"
#include "cli/show/print.h"
#include "core/base/error.h"
#include "core/base/id.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr const char* kPath = "/v1/dead-letters/purge";

int64_t CountToPurge(Service& service, const json& filter) {
  return service.PostRepeatedly(kPath, {{"filter", filter}, {"dry_run", true}}, "")
      .at("count")
      .get<int64_t>();
}

// Explains why the service refused a purge of the number that it had counted.
Error WhyRefused(Service& service, const json& filter, const Error& refusal) {
  if (!refusal.context().value("earlier_uncertain", false)) {
    return Error(ErrorCode::kInternal, "the queue has changed meanwhile, so nothing was purged: " +
                                           std::string(refusal.what()));
  }
  const int64_t count = CountToPurge(service, filter);
  return Error(
      ErrorCode::kInternal,
      fmt::format("an earlier try was not answered and may have purged them; {} {} now; to see "
                  "what was purged: millrace dead ls --state purged",
                  CountOfLetters(count), count == 1 ? "matches" : "match"));
}

int64_t Purge(Service& service, const json& filter, int64_t expected) {
  try {
    return service
        .PostRepeatedly(kPath, {{"filter", filter}, {"expected", expected}}, NewId("key_"))
        .at("count")
        .get<int64_t>();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kPreconditionFailed) throw;
    throw WhyRefused(service, filter, error);
  }
}

int PurgeJobs(const ClientOptions& client, const std::vector<std::string>& jobs) {
  Service service(client.url);
  json purged = json::array();
  const int status = ForEachJob(jobs, [&](const std::string& job) {
    service.Delete(DeadLetterPath(job));
    purged.push_back(job);
    if (!client.json) Print(Printable(job) + " purged\n");
  });
  if (client.json) PrintJson({{"purged", purged}});
  return status;
}

}  // namespace

int RunDeadPurge(const ClientOptions& client, const DeadSelection& selection) {
  const CheckedSelection checked = Check(selection, "purge");
  if (!checked.by_filter) return PurgeJobs(client, selection.jobs);
  Service service(client.url);
  const int64_t count = CountToPurge(service, checked.filter);
  const auto say = [&](int64_t number, const char* what) {
    if (client.json) {
      PrintJson({{"count", number}});
    } else {
      Print(CountOfLetters(number) + what);
    }
    TellIfCapped(number);
  };
  if (selection.dry_run) {
    say(count, " would be purged\n");
    return kExitOk;
  }
  if (count == 0) {
    say(0, " to purge\n");
    return kExitOk;
  }
  if (!IsConfirmed(selection,
                   fmt::format("Purge {} ({})? Their folders, with the failing inputs, are removed "
                               "for good.",
                               CountOfLetters(count), DescribeFilter(checked.filter)))) {
    Tell("nothing was purged");
    return kExitFailed;
  }
  say(Purge(service, checked.filter, count), " purged\n");
  return kExitOk;
}

}  // namespace millrace::cli
