#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "tests/bench/figures.h"
#include "tests/bench/ledger_peer.h"
#include "tests/bench/load_client.h"
#include "tests/bench/log_lines.h"
#include "tests/system/eventually.h"
#include "tests/system/process_table.h"
#include "tests/system/program.h"
#include "tests/system/service.h"

// Measures how soon the service goes on after a kill (medians of the rounds).
//
//   broker_recovery_s        from kill -9 of a broker with 10,000 queued jobs and all slots busy to
//                            the first job that it gives out after an immediate restart; meanwhile
//                            an encoder ends, so that a slot is free
//   broker_recovery_worst_s  the slowest round
//   recovery_vs_plain_sqlite ratio to the time of SQLite alone to recover, check and read the
//   ledger jobs_rerun_without_need  attempts that the restarts ended although their worker lived,
//   of 20
//                            running jobs a round
//   worker_failover_s        from kill -9 of a worker to an encoder process for its task elsewhere
//   frozen_failover_s        the same where no connection closes: SIGSTOP, found by the lease
//
// In the first part as many encoders run as the machine has processors, as in a fully used service;
// the others hold their slots and are stopped.
//
// The table also has the time of each part of the recovery, from the programs' logs.

namespace millrace::bench {
namespace {

using harness::Client;
using harness::Eventually;
using harness::Service;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr int kBrokerRounds = 5;
constexpr int kKillRounds = 7;
constexpr int kFreezeRounds = 3;
constexpr size_t kQueued = 10'000;
// One slot more than there are watched jobs; it becomes free while the broker is down.
constexpr int kWorkers = 7;
constexpr int kSlots = 3;
constexpr size_t kSlotsInAll = size_t{kWorkers} * kSlots;
// Short, as each round waits for it; in proportion to the defaults.
constexpr seconds kLease{6};
constexpr seconds kPatience{120};

double Seconds(WallTime::duration time) { return std::chrono::duration<double>(time).count(); }

void Require(bool condition, const std::string& what, const Service& service) {
  if (!condition) throw std::runtime_error(what + "\n" + service.Logs());
}

// Half an hour of media, whose encoding takes far longer than the bench.
fs::path MakeEndlessClip(const fs::path& folder) {
  fs::path clip = folder / "endless.mp4";
  const auto made =
      harness::RunCommand({.program = "ffmpeg",
                           .arguments = {"-v", "error", "-y", "-f", "lavfi", "-i",
                                         "testsrc2=s=64x64:r=30:d=1800", "-pix_fmt", "yuv420p",
                                         "-c:v", "libx264", "-preset", "ultrafast", clip.string()}},
                          kPatience);
  if (made.end.exit_status != 0) throw std::runtime_error("ffmpeg failed: " + made.err);
  return clip;
}

json EndlessJob(const std::string& upload) {
  return {{"input", {{"upload", upload}}},
          {"outputs",
           {{{"name", "web"},
             {"container", "mp4"},
             {"video", {{"codec", "h264"}, {"height", 480}, {"speed", "slow"}}}}}}};
}

std::vector<std::string> LeaseArguments() {
  return {"--lease",          std::to_string(kLease.count()),
          "--beat",           std::to_string(kLease.count() / 3),
          "--max-queued",     "1000000",
          "--min-free-bytes", "0"};
}

// --- The broker ----------------------------------------------------------------------------------

std::set<std::string> RunningJobs(Service& service) {
  std::set<std::string> ids;
  const json page = service.client().Get("/v1/jobs?state=running&page_size=100");
  for (const json& job : page.at("jobs")) ids.insert(job.at("id"));
  return ids;
}

void AwaitFullSlots(Service& service) {
  const bool full = Eventually(
      [&] {
        if (RunningJobs(service).size() != kSlotsInAll) return false;
        size_t encoders = 0;
        for (size_t i = 0; i < service.worker_count(); ++i)
          encoders += service.EncodersOf(i).size();
        return encoders == kSlotsInAll;
      },
      kPatience);
  Require(full, "the slots did not fill", service);
}

void StopEncodersBeyondTheProcessors(Service& service) {
  size_t running = 0;
  for (size_t i = 0; i < service.worker_count(); ++i) {
    for (const pid_t encoder : service.EncodersOf(i)) {
      if (++running > std::thread::hardware_concurrency()) kill(encoder, SIGSTOP);
    }
  }
}

// The parts of one recovery, in seconds.
struct Recovery {
  double process = 0;   // until the program opens its ledger
  double check = 0;     // checking the ledger's file
  double load = 0;      // loading the jobs, and binding the sockets
  double first_in = 0;  // until the worker with the free slot was registered
  double dispatch = 0;  // until that worker had the job
  double all_in = 0;    // from the broker's readiness until every worker was registered
  double total = 0;
};

std::optional<WallTime> FirstNewAssign(Service& service, const std::set<std::string>& running,
                                       WallTime since, size_t& worker) {
  std::optional<WallTime> first;
  for (size_t i = 0; i < service.worker_count(); ++i) {
    const fs::path log = service.LogOf("worker-" + std::to_string(i + 1));
    for (const LogLine& line : LinesOf(log, "assigned", since)) {
      if (running.contains(line.fields.at("job"))) continue;
      if (!first || line.at < *first) {
        first = line.at;
        worker = i;
      }
    }
  }
  return first;
}

Recovery ReadRecovery(Service& service, WallTime killed, WallTime assigned, size_t worker) {
  const LogLine ready = LinesOf(service.LogOf("broker"), "ready", killed).at(0);
  Recovery parts;
  parts.check = ready.fields.at("ledger_check_seconds");
  parts.load = ready.fields.at("load_seconds");
  parts.process = Seconds(ready.at - killed) - parts.check - parts.load;
  for (size_t i = 0; i < service.worker_count(); ++i) {
    const fs::path log = service.LogOf("worker-" + std::to_string(i + 1));
    const WallTime registered = LinesOf(log, "registered", killed).at(0).at;
    parts.all_in = std::max(parts.all_in, Seconds(registered - ready.at));
    if (i != worker) continue;
    parts.first_in = Seconds(registered - ready.at);
    parts.dispatch = Seconds(assigned - registered);
  }
  parts.total = Seconds(assigned - killed);
  return parts;
}

Recovery KillBroker(Service& service, const std::set<std::string>& running) {
  const pid_t encoder = service.EncodersOf(0).at(0);
  const WallTime killed = SystemClock().WallNow();
  service.broker().Kill();
  kill(encoder, SIGKILL);
  service.StartBroker();

  size_t worker = 0;
  std::optional<WallTime> assigned;
  const auto given_out = [&] {
    assigned = FirstNewAssign(service, running, killed, worker);
    return assigned.has_value();
  };
  Require(Eventually(given_out, kPatience), "no job was given out", service);
  service.WaitUntilReady(service.worker_count());
  return ReadRecovery(service, killed, *assigned, worker);
}

// Counts the lost attempts of the jobs that ran when the broker was killed. The killed encoder is a
// failed attempt, not a lost one.
size_t CountLost(Service& service, const std::set<std::string>& running) {
  size_t lost = 0;
  for (const std::string& id : running) {
    const json attempts = service.client().Get("/v1/jobs/" + id + "/attempts").at("attempts");
    for (const json& attempt : attempts) {
      if (attempt.at("outcome") == "lost" || attempt.at("outcome") == "released") ++lost;
    }
  }
  return lost;
}

// Waits until every unclaimed lease has ended.
void WaitForGracePeriods() {
  poll(nullptr, 0, static_cast<int>(milliseconds(kLease + seconds(1)).count()));
}

std::string Milliseconds(const std::vector<Recovery>& rounds, double Recovery::*part) {
  std::vector<double> samples;
  for (const Recovery& round : rounds) samples.push_back(1000 * round.*part);
  return fmt::format("{:.0f} ms (worst {:.0f})", Median(samples), Percentile(samples, 1));
}

void AddRecovery(Figures& figures, const std::vector<Recovery>& rounds, double plain_s) {
  std::vector<double> totals;
  for (const Recovery& round : rounds) totals.push_back(round.total);
  figures.Add("broker_recovery_s", Median(totals), "s, 10,000 queued", "<= 2");
  figures.Add("broker_recovery_worst_s", Percentile(totals, 1), "s");
  figures.Note("  the process starts", Milliseconds(rounds, &Recovery::process));
  figures.Note("  the ledger is checked", Milliseconds(rounds, &Recovery::check));
  figures.Note("  its jobs are loaded", Milliseconds(rounds, &Recovery::load));
  figures.Note("  a worker is back", Milliseconds(rounds, &Recovery::first_in));
  figures.Note("  a job is given out", Milliseconds(rounds, &Recovery::dispatch));
  figures.Note("all workers back, since ready", Milliseconds(rounds, &Recovery::all_in));
  figures.Note("SQLite alone", fmt::format("{:.0f} ms", 1000 * plain_s));
  figures.Add("recovery_vs_plain_sqlite", Median(totals) / plain_s, "times SQLite alone");
}

void Submit(Service& service, const json& job, size_t count) {
  LoadOptions load = {.host = "127.0.0.1",
                      .port = std::stoi(service.url().substr(service.url().rfind(':') + 1)),
                      .path = "/v1/jobs",
                      .body = job.dump(),
                      .duration = kPatience,
                      .limit = count};
  // On a busy machine some submissions miss their deadline.
  for (int tries = 0; load.limit > 0; ++tries) {
    Require(tries < 20, "jobs are refused", service);
    load.limit -= RunLoad(load).answered;
  }
}

void MeasureBroker(Figures& figures) {
  Service service({.workers = kWorkers,
                   .slots = kSlots,
                   .broker_arguments = LeaseArguments(),
                   .worker_arguments = {"--stall-timeout", "3600"}});
  const fs::path clip = MakeEndlessClip(service.download_dir());
  const json job = EndlessJob(service.client().Upload(clip));
  Submit(service, job, kSlotsInAll);
  AwaitFullSlots(service);
  StopEncodersBeyondTheProcessors(service);
  Submit(service, job, kQueued);

  std::vector<Recovery> rounds;
  size_t lost = 0;
  for (int i = 0; i < kBrokerRounds; ++i) {
    AwaitFullSlots(service);
    StopEncodersBeyondTheProcessors(service);
    const std::set<std::string> running = RunningJobs(service);
    rounds.push_back(KillBroker(service, running));
    WaitForGracePeriods();
    lost += CountLost(service, running);
  }
  service.broker().Kill();
  // Else each would wait for encoders that are stopped.
  for (size_t i = 0; i < service.worker_count(); ++i) service.worker(i).Kill();
  std::vector<double> plain;
  for (int i = 0; i < kBrokerRounds; ++i) {
    plain.push_back(MeasurePlainRecovery(service.data_dir() / "ledger.db", service.download_dir()));
  }
  AddRecovery(figures, rounds, Median(plain));
  figures.Add("jobs_rerun_without_need", static_cast<double>(lost),
              fmt::format("of {}", kBrokerRounds * (kSlotsInAll - 1)), "0");
}

// --- Workers -------------------------------------------------------------------------------------

// Returns whether a single-threaded process has children, without reading all of /proc.
bool HasChild(pid_t pid) {
  std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) +
                         "/children");
  pid_t child = 0;
  return static_cast<bool>(children >> child);
}

pid_t ZygoteOf(Service& service, size_t worker) {
  return harness::ChildrenOf(service.worker(worker).pid()).at(0);
}

// Signals the one of two workers that runs the only job. Returns the seconds until the other runs
// it.
double FailOver(Service& service, const json& job, int signal_number) {
  const std::string id = service.client().Submit(job).at("id");
  service.client().WaitUntilEncoding(id, -1);
  const std::array<pid_t, 2> zygotes = {ZygoteOf(service, 0), ZygoteOf(service, 1)};
  const auto runs = [&](size_t i) { return HasChild(zygotes.at(i)); };
  Require(Eventually([&] { return runs(0) != runs(1); }, kPatience), "no encoder", service);
  const size_t victim = runs(0) ? 0 : 1;

  const auto begun = std::chrono::steady_clock::now();
  service.worker(victim).Signal(signal_number);
  while (!runs(1 - victim)) {
    Require(std::chrono::steady_clock::now() - begun < kPatience, "nobody took it over", service);
    poll(nullptr, 0, 1);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;

  service.client().Cancel(id);
  service.client().WaitForEnd(id);
  if (signal_number == SIGKILL) {
    service.worker(victim).Kill();
    service.StartWorker(victim);
  } else {
    service.worker(victim).Signal(SIGCONT);
  }
  Require(Eventually([&] { return !runs(0) && !runs(1); }, kPatience), "it runs on", service);
  service.WaitUntilReady(2);
  return took.count();
}

void MeasureWorkers(Figures& figures) {
  Service service({.workers = 2, .broker_arguments = LeaseArguments()});
  const json job = EndlessJob(service.client().Upload(MakeEndlessClip(service.download_dir())));
  std::vector<double> killed;
  std::vector<double> frozen;
  for (int i = 0; i < kKillRounds; ++i) killed.push_back(FailOver(service, job, SIGKILL));
  for (int i = 0; i < kFreezeRounds; ++i) frozen.push_back(FailOver(service, job, SIGSTOP));
  figures.Add("worker_failover_s", Median(killed), "s, its connection closes", "<= 1");
  figures.Note("worker failover, worst", fmt::format("{:.2f} s", Percentile(killed, 1)));
  figures.Add("frozen_failover_s", Median(frozen), "s, its lease ends",
              fmt::format("<= {} (lease + 1)", kLease.count() + 1));
}

}  // namespace
}  // namespace millrace::bench

int main() {
  using namespace millrace::bench;
  try {
    Figures figures("recovery");
    MeasureBroker(figures);
    MeasureWorkers(figures);
    figures.Print();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_recovery: {}\n", error.what());
    return 1;
  }
}
