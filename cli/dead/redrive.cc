#include "cli/dead/redrive.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <thread>

#include "cli/base/exit_status.h"
#include "cli/base/text.h"
#include "cli/client/commands.h"
#include "cli/client/job_watch.h"
#include "cli/client/pages.h"
#include "cli/client/service.h"
#include "cli/dead/selection.h"
#include "cli/show/print.h"
#include "cli/show/progress_display.h"
#include "cli/show/report.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kPollInterval{200};
constexpr const char* kPath = "/v1/dead-letters/redrive";

// Reads the merge patch; null if `spec` is empty.
json PatchOf(const std::string& spec) {
  if (spec.empty()) return nullptr;
  std::string text = spec;
  if (spec == "@-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else if (spec.starts_with('@')) {
    text = ReadWholeFile(spec.substr(1));
  }
  json patch = json::parse(text, nullptr, false);
  if (!patch.is_object()) {
    throw Error(ErrorCode::kInvalidRequest,
                "--spec takes a JSON object to merge into the job's spec, such as "
                "'{\"clip\": null}', or @FILE that holds one");
  }
  return patch;
}

// Maps each redriven job to the generation in which it was dead.
using Generations = std::map<std::string, int64_t>;

// Follows the jobs until they end. Returns those that have begun a later generation.
json Await(const ClientOptions& client, const Generations& jobs) {
  std::vector<std::string> ids;
  ids.reserve(jobs.size());
  for (const auto& [id, generation] : jobs) ids.push_back(id);
  const auto kind =
      client.json ? ProgressDisplay::Kind::kNothing : ProgressDisplay::KindFor(stderr);
  json ended = json::array();
  for (json& job : WatchMany(client.url, ids, stderr, kind)) {
    if (job.at("generation").get<int64_t>() > jobs.at(job.at("id").get<std::string>()))
      ended.push_back(std::move(job));
  }
  return ended;
}

int StatusOf(const json& ended) {
  int status = kExitOk;
  for (const json& job : ended) status = std::max<int>(status, ExitStatusOf(job));
  return status;
}

void PrintEnds(const json& ended) {
  size_t good = 0;
  for (const json& job : ended) {
    if (ExitStatusOf(job) == kExitOk) {
      ++good;
    } else {
      PrintEnd({}, job);
    }
  }
  Print(fmt::format("{} of {} succeeded\n", good, ended.size()));
}

// Redriving jobs by name.

// Returns the dead generation. Throws Error{kDeadLetterNotFound} for a letter that was closed.
int64_t OpenGeneration(const json& letter) {
  const std::string state = letter.at("state");
  if (state != "open") {
    throw Error(ErrorCode::kDeadLetterNotFound, "the dead letter of job " +
                                                    letter.at("job").get<std::string>() +
                                                    " has left the queue: " + state);
  }
  return letter.at("generation");
}

json RedriveOne(Service& service, const std::string& job, const json& patch, int64_t generation) {
  json body = {{"generation", generation}};
  if (!patch.is_null()) body["spec"] = patch;
  return service.PostRepeatedly(DeadLetterPath(job) + "/redrive", body, "");
}

int RedriveJobs(const ClientOptions& client, const DeadRedriveOptions& options, const json& patch) {
  Service service(client.url);
  Generations redriven;
  json jobs = json::array();
  int status = ForEachJob(options.selection.jobs, [&](const std::string& id) {
    // Name the generation, so that a repeated request redrives only once.
    const int64_t generation = OpenGeneration(service.DeadLetter(id));
    const json job = RedriveOne(service, id, patch, generation);
    redriven[id] = generation;
    jobs.push_back(job);
    const std::string line = fmt::format("{} {}, generation {}", Printable(id),
                                         job.value("state", ""), job.value("generation", 0));
    if (options.wait) {
      Tell(line);
    } else if (!client.json) {
      Print(line + "\n");
    }
  });
  // If the service is unreachable, do not wait, but report the jobs that were redriven.
  const bool wait = options.wait && status != kExitUnavailable;
  if (wait && !redriven.empty()) {
    jobs = Await(client, redriven);
    status = std::max(status, StatusOf(jobs));
  }
  if (client.json) {
    PrintJson({{"jobs", jobs}});
  } else if (wait) {
    PrintEnds(jobs);
  }
  return status;
}

// Redriving jobs by filter.

// Returns the open letters that the filter selects.
Generations Listed(Service& service, const json& filter) {
  const Listing letters =
      ListUpTo(std::numeric_limits<int>::max(), "dead_letters",
               [&](int page_size, const std::string& token) {
                 return service.DeadLetters("&state=open" + FilterQuery(filter), page_size, token);
               });
  Generations jobs;
  for (const json& letter : letters.items) {
    jobs[letter.at("job").get<std::string>()] = letter.at("generation").get<int64_t>();
  }
  return jobs;
}

json RedriveMany(Service& service, const json& filter, const json& patch,
                 const DeadRedriveOptions& options, bool dry_run) {
  json body = {{"filter", filter}};
  if (!patch.is_null()) body["spec"] = patch;
  if (options.canary) body["canary"] = true;
  if (dry_run) body["dry_run"] = true;
  return service.PostRepeatedly(kPath, body, dry_run ? "" : NewId("key_"));
}

// Polls until the redrive is decided, which happens right after its canary has ended.
json Decided(Service& service, json redrive) {
  const SystemClock clock;
  const MonotonicTime deadline = clock.Now() + kPatience;
  const std::string id = redrive.at("id");
  while (redrive.at("state") == "waiting") {
    if (clock.Now() >= deadline) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  "the canary has ended, but redrive " + id + " still waits");
    }
    std::this_thread::sleep_until(clock.Now() + kPollInterval);
    redrive = service.Get("/v1/redrives/" + PercentEncode(id));
  }
  return redrive;
}

std::string DescribeRedrive(int64_t count, const json& redrive) {
  const std::string id = Printable(redrive.value("id", ""));
  const json& canary = redrive.at("canary");
  if (!canary.is_string()) return fmt::format("{} redriven ({})", CountOfLetters(count), id);
  return fmt::format("1 of {} redriven, as a canary: {}; the others follow if it succeeds ({})",
                     CountOfLetters(count), Printable(canary.get<std::string>()), id);
}

struct FollowedRedrive {
  json redrive;                // decided: released or stopped
  json ended = json::array();  // the jobs that were redriven
};

// Follows a redrive until all its jobs have ended, or until its canary has ended badly.
FollowedRedrive FollowRedrive(const ClientOptions& client, Service& service, Generations jobs,
                              json redrive) {
  FollowedRedrive followed{.redrive = std::move(redrive)};
  if (followed.redrive.at("canary").is_string()) {
    const std::string canary = followed.redrive.at("canary");
    const auto listed = jobs.find(canary);
    const int64_t generation = listed == jobs.end() ? 0 : listed->second;
    followed.ended = Await(client, {{canary, generation}});
    jobs.erase(canary);
    followed.redrive = Decided(service, std::move(followed.redrive));
    if (followed.redrive.at("state") != "released") {
      Tell(fmt::format("the canary did not succeed; the others stay in the queue: {}",
                       followed.redrive.value("waiting", int64_t{0})));
      return followed;
    }
    Tell("the canary succeeded; the others are redriven");
  }
  for (json& job : Await(client, jobs)) followed.ended.push_back(std::move(job));
  return followed;
}

int DoRedriveMany(const ClientOptions& client, Service& service, const json& filter,
                  const json& patch, const DeadRedriveOptions& options) {
  const Generations jobs = options.wait ? Listed(service, filter) : Generations();
  const json reply = RedriveMany(service, filter, patch, options, false);
  const int64_t count = reply.at("count");
  const json& redrive = reply.at("redrive");
  TellIfCapped(count);
  if (redrive.is_null() || !options.wait) {
    if (client.json) {
      PrintJson(reply);
    } else {
      Print((redrive.is_null() ? CountOfLetters(0) + " to redrive"
                               : DescribeRedrive(count, redrive)) +
            "\n");
    }
    return kExitOk;
  }
  Tell(DescribeRedrive(count, redrive));
  const FollowedRedrive end = FollowRedrive(client, service, jobs, redrive);
  if (client.json) {
    PrintJson({{"count", count}, {"redrive", end.redrive}, {"jobs", end.ended}});
  } else {
    PrintEnds(end.ended);
  }
  return end.redrive.at("state") == "stopped" ? kExitFailed : StatusOf(end.ended);
}

}  // namespace

int RunDeadRedrive(const ClientOptions& client, const DeadRedriveOptions& options) {
  const CheckedSelection checked = Check(options.selection, "redrive");
  const json patch = PatchOf(options.spec);
  if (!checked.by_filter) {
    if (options.canary) {
      throw Error(ErrorCode::kInvalidRequest,
                  "--canary goes with options that select letters, not with jobs");
    }
    return RedriveJobs(client, options, patch);
  }
  Service service(client.url);
  const json counted = RedriveMany(service, checked.filter, patch, options, true);
  const int64_t count = counted.at("count");
  if (options.selection.dry_run || count == 0) {
    if (client.json) {
      PrintJson({{"count", count}, {"redrive", nullptr}});
    } else {
      Print(CountOfLetters(count) + (count == 0 ? " to redrive\n" : " would be redriven\n"));
    }
    TellIfCapped(count);
    return kExitOk;
  }
  if (!IsConfirmed(
          options.selection,
          fmt::format("Redrive {} ({}){}?", CountOfLetters(count), DescribeFilter(checked.filter),
                      options.canary ? ", one as a canary first" : ""))) {
    Tell("nothing was redriven");
    return kExitFailed;
  }
  return DoRedriveMany(client, service, checked.filter, patch, options);
}

}  // namespace millrace::cli
