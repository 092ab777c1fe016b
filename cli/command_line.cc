#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "cli/base/exit_status.h"
#include "cli/client/commands.h"
#include "cli/dead/command_line.h"
#include "cli/show/report.h"
#include "cli/up/demo.h"
#include "cli/up/up.h"
#include "cli/verify.h"
#include "core/base/error.h"
#include "core/base/settings.h"

namespace millrace::cli {
namespace {

constexpr const char* kFooter = R"(
Exit status, for scripts:
  0  success; with --wait, watch: all jobs succeeded
  1  a job is dead or was cancelled, or the command failed
  2  wrong usage, or the service refused the request as invalid
  3  no such file, job, upload, output, preset or dead letter
  4  the service cannot be reached, or cannot serve the request now

'millrace COMMAND --help' describes a command. Results go to standard output, progress and errors to
standard error. --url, or MILLRACE_URL in the environment, names another service, also with https://.)";

constexpr const char* kSubmitFooter =
    R"(If an answer is lost or the service is unavailable, submit repeats the request under the same key,
so that one command makes one job. When it gives up (status 4) it prints the key: repeat the command
with --idempotency-key, and with the upload's id in place of FILE, to get the job if it exists.)";

// Declares the options of all commands, and remembers the command to run.
class CommandLine {
 public:
  CommandLine() : app_("Millrace turns video and audio into what players need", "millrace") {
    app_.set_version_flag("--version", "millrace " + std::string(kVersion));
    app_.require_subcommand(1);
    app_.footer(kFooter);
    app_.get_formatter()->column_width(34);
    AddServiceCommands();
    AddSubmit();
    AddJobCommands();
    AddDead();
    AddInfoCommands();
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? kExitOk : kExitUsage;
    }
    return run_();
  }

 private:
  CLI::App* Command(const std::string& name, const std::string& help, std::function<int()> run) {
    return Command(app_, name, help, std::move(run));
  }

  CLI::App* Command(CLI::App& parent, const std::string& name, const std::string& help,
                    std::function<int()> run) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->callback([this, run = std::move(run)] { run_ = run; });
    return command;
  }

  // Adds a command that talks to a running service.
  CLI::App* ClientCommand(const std::string& name, const std::string& help,
                          std::function<int()> run) {
    return ClientCommand(app_, name, help, std::move(run));
  }

  CLI::App* ClientCommand(CLI::App& parent, const std::string& name, const std::string& help,
                          std::function<int()> run) {
    CLI::App* command = Command(parent, name, help, std::move(run));
    command->add_option("--url", client_.url, "Where the service is")
        ->envname("MILLRACE_URL")
        ->capture_default_str();
    command->add_flag("--json", client_.json, "Print JSON instead of text");
    return command;
  }

  void AddServiceCommands() {
    CLI::App* up = Command("up", "Run the whole service on this machine, in the foreground",
                           [this] { return RunUp(up_); });
    AddUpOptions(*up);
    AddVerify();
    CLI::App* demo =
        Command("demo", "Encode some files with a temporary service, and show the results",
                [this] { return RunDemo(demo_); });
    demo->add_option("FILE", demo_.files, "Media to encode")->required();
    demo->add_option("--data-dir", demo_.data_dir, "Folder for the service's data and the outputs")
        ->required();
    demo->add_option("--workers", demo_.workers, "How many workers to start")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
  }

  void AddVerify() {
    CLI::App* verify = Command("verify", "Check the ledger, and every published file against it",
                               [this] { return RunVerify(verify_); });
    verify->add_option("--data-dir", verify_.data_dir, "Folder of the service's data")
        ->envname("MILLRACE_DATA_DIR")
        ->capture_default_str();
    verify->add_option("--programs-dir", verify_.programs_dir,
                       "Folder of the service's programs (default: beside this one)");
    verify->add_flag("--json", verify_.json, "Print JSON instead of text");
    verify->footer(
        "Reads the data folder, whether or not a service is running on it. Exit status: 0 if all "
        "is\n"
        "well, 1 if something is wrong, 2 if the check could not be made.");
  }

  void AddUpOptions(CLI::App& up) {
    up.add_option("--data-dir", up_.data_dir, "Folder of the service's data")
        ->envname("MILLRACE_DATA_DIR")
        ->capture_default_str();
    up.add_option("--host", up_.host, "IPv4 address to listen on")->capture_default_str();
    up.add_option("--port", up_.port, "Port to listen on; 0: any free one")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    up.add_option("--workers", up_.workers, "How many workers to start")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    up.add_option("--slots", up_.slots, "Tasks that each worker runs at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    AddSeconds(up, "--drain-timeout", up_.drain_timeout,
               "Seconds that running tasks get to finish when the service is stopped", "10");
    up.add_option("--programs-dir", up_.programs_dir,
                  "Folder of the service's programs (default: beside this one)");
    up.add_option("--log-level", up_.log_level, "Lowest level logged")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
        ->capture_default_str();
    up.add_flag("--verbose", up_.verbose, "Show the programs' logs here as well");
    up.footer(
        "Environment variables set the other options of the programs: see millrace-api --help,\n"
        "millrace-broker --help and millrace-worker --help. Logs are in <data-dir>/logs.");
  }

  void AddSubmit() {
    CLI::App* submit = ClientCommand("submit", "Upload a file and have it encoded",
                                     [this] { return RunSubmit(client_, submit_); });
    submit->add_option("FILE", submit_.file, "File, - for standard input, or an upload's id")
        ->required();
    submit->add_option("--preset", submit_.presets, "Make an output with this preset");
    submit->add_option("--output", submit_.outputs, "Make an output called NAME: NAME=PRESET");
    submit->add_flag("--poster", submit_.poster, "Make a poster picture");
    submit->add_option("--name", submit_.name, "Name of the upload (default: the file's)");
    submit->add_option("--priority", submit_.priority, "0 to 100, high first (default: 50)");
    submit->add_option("--max-attempts", submit_.max_attempts, "Attempts before the job is dead");
    submit->add_option("--start", submit_.start_seconds, "Begin at this second of the input");
    submit->add_option("--duration", submit_.duration_seconds,
                       "Use this many seconds of the input");
    submit->add_option("--label", submit_.labels, "KEY=VALUE, by which jobs can be listed");
    submit->add_option("--external-id", submit_.external_id, "Your own name for the job");
    submit->add_flag("--force", submit_.force,
                     "Encode even a file that is known to crash encoders");
    submit->add_option("--idempotency-key", submit_.idempotency_key,
                       "Never make a second job under this key (default: a new key)");
    AddSeconds(*submit, "--retry-for", submit_.retry_for,
               "Seconds to repeat the request while the service is unavailable", "60");
    submit->add_flag("--wait", submit_.wait, "Show the progress, and exit when the job ends");
    submit->add_option("--download", submit_.download_dir,
                       "Download the outputs into this folder at the end (implies --wait)");
    submit->footer(kSubmitFooter);
    // Take one value per use of the option: the next argument may be the FILE.
    for (const char* option : {"--preset", "--output", "--label"}) {
      submit->get_option(option)->allow_extra_args(false);
    }
  }

  void AddJobCommands() {
    CLI::App* jobs = ClientCommand("jobs", "List jobs, the newest first",
                                   [this] { return RunJobs(client_, list_); });
    jobs->add_option("--state", list_.states, "Only jobs in this state (repeatable)")
        ->allow_extra_args(false);
    jobs->add_option("--label", list_.labels, "Only jobs with this label, KEY=VALUE (repeatable)")
        ->allow_extra_args(false);
    jobs->add_option("--external-id", list_.external_id, "Only jobs that you gave this name");
    jobs->add_option("--limit", list_.limit, "At most this many")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    AddId(ClientCommand("show", "Show everything about a job",
                        [this] { return RunShow(client_, id_); }));
    CLI::App* watch = ClientCommand("watch", "Follow jobs until they end",
                                    [this] { return RunWatch(client_, ids_); });
    watch->add_option("ID", ids_, "Job, or several")->required();
    AddId(ClientCommand("cancel", "Stop a job", [this] { return RunCancel(client_, id_); }));
    CLI::App* download = ClientCommand("download", "Fetch the outputs of a job",
                                       [this] { return RunDownload(client_, id_, folder_); });
    AddId(download);
    download->add_option("DIR", folder_, "Folder for the files")->capture_default_str();
  }

  void AddInfoCommands() {
    ClientCommand("probe", "Show the streams of a file",
                  [this] { return RunProbe(client_, file_); })
        ->add_option("FILE", file_, "File, - for standard input, or an upload's id")
        ->required();
    ClientCommand("presets", "List the presets, or show one", [this] {
      return RunPresets(client_, preset_);
    })->add_option("NAME", preset_, "Preset to show");
    ClientCommand("workers", "List the workers", [this] { return RunWorkers(client_); });
    ClientCommand("queue", "Show the length of the queue", [this] { return RunQueue(client_); });
  }

  void AddDead() {
    AddDeadCommands(
        app_,
        [this](CLI::App& parent, const std::string& name, const std::string& help,
               std::function<int()> run) {
          return ClientCommand(parent, name, help, std::move(run));
        },
        client_, dead_);
  }

  static void AddSeconds(CLI::App& command, const std::string& name,
                         std::chrono::milliseconds& value, const std::string& help,
                         const std::string& shown_default) {
    command
        .add_option_function<double>(
            name,
            [&value](const double& seconds) {
              value = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
            },
            help)
        ->check(CLI::Range(0.0, 86'400.0))
        ->default_str(shown_default);
  }

  void AddId(CLI::App* command) { command->add_option("ID", id_, "Job")->required(); }

  CLI::App app_;
  std::function<int()> run_;
  ClientOptions client_;
  UpOptions up_;
  DemoOptions demo_;
  VerifyOptions verify_;
  SubmitOptions submit_;
  ListOptions list_;
  DeadCommandLine dead_;
  std::string id_;
  std::vector<std::string> ids_;
  std::string file_;
  std::string preset_;
  std::string folder_ = ".";
};

}  // namespace

int RunCommandLine(int argc, char** argv) {
  try {
    return CommandLine().Run(argc, argv);
  } catch (const Error& error) {
    std::fputs(DescribeError(error).c_str(), stderr);
    return ExitStatusOf(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return kExitFailed;
  }
}

}  // namespace millrace::cli
