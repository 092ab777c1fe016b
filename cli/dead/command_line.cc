#include "cli/dead/command_line.h"

#include <CLI/CLI.hpp>

namespace millrace::cli {
namespace {

constexpr const char* kFooter =
    R"(A job that keeps failing ends as dead. It stays in this queue, with everything needed to find out
why, until it is redriven (tried again), purged, or expired (millrace-broker --keep-dead).

A usual round:
  millrace dead ls --group                                    count each kind of failure
  millrace dead ls --signature 1f0c…                          list the jobs of one kind
  millrace dead show job_…                                    what happened, and who must act
  millrace dead log job_…                                     the encoder's log
  millrace dead fetch job_… && ./job_…/repro.sh               repeat the attempt on this machine
  millrace dead redrive job_…                                 try the job again
  millrace dead redrive --signature 1f0c… --canary --wait     all of a kind, one of them first
  millrace dead purge --blame media --until 7d --dry-run      count what a purge would remove

'millrace dead COMMAND --help' describes a command.)";

constexpr const char* kTimes =
    "TIME is RFC 3339, as in 2026-11-25T22:15:00Z, or a span back from now: 90s, 30min, 2h, 3d, "
    "1w.";

constexpr const char* kRedriveFooter =
    R"(A redriven job keeps its id and begins another generation. --spec is merged into its spec as a JSON
merge patch (RFC 7396): a member replaces the job's own, null removes it. For example:
  --spec '{"clip": {"duration_seconds": 60}}'
Options instead of JOBs select open dead letters, the oldest first, at most 10,000. The command counts
them and asks before it acts; without a terminal it needs --yes. With --canary the oldest goes first,
and the others follow only if it succeeds.)";

constexpr const char* kPurgeFooter =
    R"(Purging removes the dead-letter folder with the failing input and the logs; a record of the dead
job stays. Options instead of JOBs select open dead letters, at most 10,000. The command counts them
and asks before it acts; without a terminal it needs --yes. If the queue changes between the count
and the purge, nothing is purged.)";

void AddFilter(CLI::App& command, DeadFilter& filter) {
  command.add_option("--code", filter.code, "Only with this error code, such as corrupt_media");
  command.add_option("--blame", filter.blame, "Only where this party has to act")
      ->check(CLI::IsMember({"media", "request", "worker", "storage", "service"}));
  command.add_option("--signature", filter.signature,
                     "Only failures of this kind (see ls --group)");
  command.add_option("--stage", filter.stage,
                     "Only failures in this stage: probe, decode, encode, …");
  command.add_option("--worker", filter.worker, "Only jobs whose last attempt was on this worker");
  command.add_option("--since", filter.since, "Only jobs that died after this TIME");
  command.add_option("--until", filter.until, "Only jobs that died before this TIME");
}

void AddSelection(CLI::App& command, DeadSelection& selection) {
  command.add_option("JOB", selection.jobs, "Job, or several");
  command.add_flag("--all", selection.all, "Every open dead letter");
  AddFilter(command, selection.filter);
  command.add_flag("--dry-run", selection.dry_run, "Only count");
  command.add_flag("--yes,-y", selection.yes, "Do not ask");
}

void AddJob(CLI::App& command, std::string& job) {
  command.add_option("JOB", job, "A dead job")->required();
}

void AddList(CLI::App& dead, const AddClientCommand& add, const ClientOptions& client,
             DeadCommandLine& options) {
  DeadListOptions& list = options.list;
  CLI::App* ls = add(dead, "ls", "List dead letters, the newest first",
                     [&] { return RunDeadList(client, list); });
  AddFilter(*ls, list.filter);
  ls->add_option("--state", list.state, "Only letters in this state")
      ->check(CLI::IsMember({"open", "redriven", "purged", "expired", "any"}))
      ->capture_default_str();
  ls->add_flag("--group", list.group, "One line for each kind of failure, the most frequent first");
  ls->add_option("--limit", list.limit, "At most this many lines")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  ls->footer(kTimes);
}

void AddLooks(CLI::App& dead, const AddClientCommand& add, const ClientOptions& client,
              DeadCommandLine& options) {
  AddJob(*add(dead, "show", "Show what happened to a job, who must act, and what can be done",
              [&] { return RunDeadShow(client, options.job); }),
         options.job);
  CLI::App* log = add(dead, "log", "Print the encoder's log of a job's last attempt",
                      [&] { return RunDeadLog(client, options.job, options.fence); });
  AddJob(*log, options.job);
  log->add_option("--fence", options.fence, "The log of another attempt: its FENCE in 'dead show'");
  CLI::App* fetch = add(dead, "fetch", "Download the dead-letter folder of a job",
                        [&] { return RunDeadFetch(client, options.job, options.target); });
  AddJob(*fetch, options.job);
  fetch->add_option("DIR", options.target, "Folder for the files (default: ./JOB)");
  fetch->footer(
      "Then ./JOB/repro.sh repeats the failing attempt, with millrace-encode from PATH or\n"
      "$MILLRACE_ENCODE. report.json is described in docs/dead-letters.md.");
  CLI::App* input = add(dead, "input", "Download the failing file alone",
                        [&] { return RunDeadInput(client, options.job, options.target); });
  AddJob(*input, options.job);
  input->add_option("FILE", options.target,
                    "File to write, - for standard output (default: its own name in this folder)");
}

void AddChanges(CLI::App& dead, const AddClientCommand& add, const ClientOptions& client,
                DeadCommandLine& options) {
  DeadRedriveOptions& again = options.redrive;
  CLI::App* redrive =
      add(dead, "redrive", "Try jobs again", [&] { return RunDeadRedrive(client, again); });
  AddSelection(*redrive, again.selection);
  redrive->add_option("--spec", again.spec, "Change their spec: JSON, @FILE, or @- (stdin)");
  redrive->add_flag("--canary", again.canary, "Redrive one first, the others if it succeeds");
  redrive->add_flag("--wait", again.wait, "Show the progress, and exit when all jobs have ended");
  redrive->footer(std::string(kRedriveFooter) + "\n\n" + kTimes);
  CLI::App* purge = add(dead, "purge", "Remove the dead-letter folders of jobs for good",
                        [&] { return RunDeadPurge(client, options.purge); });
  AddSelection(*purge, options.purge);
  purge->footer(std::string(kPurgeFooter) + "\n\n" + kTimes);
}

}  // namespace

void AddDeadCommands(CLI::App& app, const AddClientCommand& add, const ClientOptions& client,
                     DeadCommandLine& options) {
  CLI::App* dead = app.add_subcommand("dead", "Examine dead jobs, and try them again");
  dead->require_subcommand(1);
  dead->footer(kFooter);
  AddList(*dead, add, client, options);
  AddLooks(*dead, add, client, options);
  AddChanges(*dead, add, client, options);
}

}  // namespace millrace::cli
