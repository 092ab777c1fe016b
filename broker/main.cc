#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <iostream>
#include <memory>
#include <utility>

#include "broker/broker.h"
#include "broker/io/sockets.h"
#include "broker/ledger/ledger.h"
#include "broker/verify/verify.h"
#include "core/base/clock.h"
#include "core/base/data_lock.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/scheduling.h"
#include "core/base/settings.h"
#include "core/base/unique_fd.h"
#include "core/media/media_store.h"

namespace millrace::broker {
namespace {

struct Settings {
  CommonSettings common;
  DispatcherOptions dispatcher;
  JanitorOptions janitor;
  bool ping = false;
  bool verify = false;
  bool json = false;
  int64_t max_queued = static_cast<int64_t>(DispatcherOptions().max_queued);
};

void AddKeepingSettings(SettingsParser& parser, Settings& settings) {
  JanitorOptions& janitor = settings.janitor;
  parser.Add("min-free-bytes", settings.dispatcher.min_free_bytes,
             "Free bytes on the media store's disk below which new jobs are refused; 0: never");
  parser.AddFromZero(
      "keep-finished", janitor.keep_finished,
      "How long to keep succeeded and cancelled jobs with their outputs; 0: for ever");
  parser.AddFromZero(
      "keep-dead", janitor.keep_dead,
      "How long to keep dead letters, and their records for as long again; 0: for ever");
  parser.AddFromZero("keep-uploads", janitor.keep_uploads,
                     "How long to keep uploads that no job names; 0: for ever");
  parser.AddFromZero(
      "keep-events", janitor.keep_events,
      "How long to keep events of removed jobs, and redrives and purges of many; 0: for ever");
  parser.Add("tidy-every", janitor.every, "Time between two rounds of the janitor");
}

void AddSettings(SettingsParser& parser, Settings& settings) {
  AddCommonSettings(parser, settings.common);
  DispatcherOptions& dispatcher = settings.dispatcher;
  parser.Add("lease", dispatcher.lease, "Silence after which a worker loses its tasks");
  parser.Add("beat", dispatcher.beat, "Time between a worker's beats; well below the lease");
  parser.AddFromZero("reconnect", dispatcher.reconnect,
                     "Time for a disconnected worker to come back before it loses its tasks");
  parser.Add("retry-base", dispatcher.retry_base,
             "Longest wait before the first retry of a task; doubles with each retry");
  parser.Add("retry-cap", dispatcher.retry_cap, "Longest wait before any retry");
  parser.Add("max-infrastructure-failures", dispatcher.max_infrastructure_failures,
             "Attempts that a task may lose to failing workers and storage");
  parser.Add("max-unknown-attempts", dispatcher.max_unknown_attempts,
             "Attempts of a task that fails for unknown reasons");
  parser.Add("breaker-rest", dispatcher.breaker.base,
             "How long a worker on which jobs fail in a row gets no tasks; doubles each time");
  parser.Add("retry-pause", dispatcher.spike.base,
             "How long retries pause when jobs fail on all workers alike; doubles each time");
  parser.AddFromZero("task-overhead", dispatcher.planner.task_overhead,
                     "Predicted cost of one more task of a job: outputs that need no decoded "
                     "picture get a task of their own if "
                     "that ends the job earlier by four times as much");
  parser.AddFlag(
      "ping", settings.ping,
      "Ask the running broker whether it accepts jobs, and exit 0 if so (health checks)");
  parser.AddFlag("verify", settings.verify,
                 "Check the ledger and every published file, and exit 0 if all is well, 1 if not, "
                 "2 if the check could not be made; works beside a running broker");
  parser.AddFlag("json", settings.json, "With --verify: print JSON instead of text");
  parser.Add("max-queued", settings.max_queued, "Waiting jobs beyond which new ones are refused");
  AddKeepingSettings(parser, settings);
}

// Asks the broker that runs with these settings whether it takes jobs, prints its answer, and
// returns the exit status.
int Ping(const Settings& settings) {
  constexpr std::chrono::seconds kPatience{3};
  const Message reply =
      AskBroker(settings.common.client_endpoint,
                {.type = std::string(message::kPing), .id = NewMessageId()}, kPatience);
  std::cout << reply.body.dump() << "\n";
  return reply.body.at("accepting").get<bool>() ? 0 : 1;
}

int Verify(const Settings& settings) {
  try {
    const Findings findings = VerifyDataFolder(settings.common.data_dir);
    if (settings.json) {
      std::cout << ToJson(findings).dump(2) << "\n";
    } else {
      PrintFindings(findings, std::cout);
    }
    return findings.total() == 0 ? 0 : 1;
  } catch (const Error& error) {
    std::cerr << "millrace-broker: " << error.what() << "\n";
    return 2;
  }
}

void CheckSettings(Settings& settings) {
  const auto refuse = [](const std::string& detail) {
    throw Error(ErrorCode::kInvalidRequest, detail);
  };
  // A lease must survive the loss of one beat.
  if (settings.dispatcher.beat * 2 >= settings.dispatcher.lease) {
    refuse("--lease must be more than twice --beat");
  }
  if (settings.dispatcher.retry_cap < settings.dispatcher.retry_base) {
    refuse("--retry-cap must not be less than --retry-base");
  }
  if (settings.dispatcher.max_infrastructure_failures < 1 ||
      settings.dispatcher.max_unknown_attempts < 1 || settings.max_queued < 1) {
    refuse("--max-infrastructure-failures, --max-unknown-attempts and --max-queued start at 1");
  }
  if (settings.dispatcher.breaker.base > settings.dispatcher.breaker.cap ||
      settings.dispatcher.spike.base > settings.dispatcher.spike.cap) {
    refuse("--breaker-rest and --retry-pause are at most 600");
  }
  if (settings.dispatcher.min_free_bytes < 0) refuse("--min-free-bytes starts at 0");
  JanitorOptions& janitor = settings.janitor;
  if (janitor.every < std::chrono::seconds(1)) refuse("--tidy-every must be at least 1");
  janitor.lease = settings.dispatcher.lease;
  settings.dispatcher.max_queued = static_cast<size_t>(settings.max_queued);
}

// Makes SIGTERM and SIGINT arrive as a readable descriptor. Call it before threads start: they
// inherit that the signals are blocked.
UniqueFd SignalsAsFile() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) ThrowStorageError(errno, "signalfd", "");
  return fd;
}

void Serve(const Settings& settings) {
  AskForShortTurns();  // before threads start
  const UniqueFd signals = SignalsAsFile();
  const CommonSettings& common = settings.common;
  // Held until everything below is closed: a socket file must not be unlinked under a successor.
  const DataLock lock(
      {.data_dir = common.data_dir, .file = "broker.lock", .holder = "millrace-broker"});
  const SystemClock clock;
  const MonotonicTime begun = clock.Now();
  std::unique_ptr<Ledger> ledger = OpenSqliteLedger(common.data_dir / "ledger.db");
  const MonotonicTime opened = clock.Now();
  Broker broker({.data_dir = common.data_dir,
                 .endpoints = {.client = common.client_endpoint,
                               .worker = common.worker_endpoint,
                               .event = common.event_endpoint},
                 .dispatcher = settings.dispatcher,
                 .janitor = settings.janitor},
                std::move(ledger), OpenFolderMediaStore({.data_dir = common.data_dir}), clock);
  const auto seconds = [](MonotonicTime::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  LogInfo("ready", {{"version", kVersion},
                    {"data_dir", common.data_dir.string()},
                    {"client_endpoint", common.client_endpoint},
                    {"worker_endpoint", common.worker_endpoint},
                    {"event_endpoint", common.event_endpoint},
                    {"ledger_check_seconds", seconds(opened - begun)},
                    {"load_seconds", seconds(clock.Now() - opened)}});
  broker.Run(signals.get());
  LogInfo("stopped");
}

int Main(int argc, char** argv) {
  Settings settings;
  SettingsParser parser("millrace-broker",
                        "Decides which worker runs which task, and keeps the ledger.");
  AddSettings(parser, settings);
  if (const std::optional<int> status = parser.Parse(argc, argv)) return *status;
  try {
    FinishCommonSettings(settings.common, "broker");
    CheckSettings(settings);
  } catch (const Error& error) {
    std::cerr << "millrace-broker: " << error.what() << "\n";
    return 2;
  }
  try {
    if (settings.ping) return Ping(settings);
    if (settings.verify) return Verify(settings);
    Serve(settings);
    return 0;
  } catch (const Error& error) {
    LogError(error.what(), {{"error", ToJson(error)}});
  } catch (const std::exception& error) {
    LogError(error.what());
  }
  return 1;
}

}  // namespace
}  // namespace millrace::broker

int main(int argc, char** argv) { return millrace::broker::Main(argc, argv); }
