#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>

#include "core/base/log.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/process/capabilities.h"
#include "transcoder/encode/process/repro.h"
#include "transcoder/encode/process/task_process.h"
#include "transcoder/encode/process/zygote.h"
#include "transcoder/encode/run_task.h"

namespace {

constexpr int kSuccess = 0;
constexpr int kFailure = 1;
constexpr int kUsage = 2;

struct Arguments {
  std::string task_path;
  std::string probe_path;
  millrace::encode::ReproOptions repro;
  std::optional<double> repro_seconds;
  bool capabilities = false;
  int zygote_fd = -1;
  int report_fd = STDOUT_FILENO;
  bool no_sandbox = false;
  std::optional<uint64_t> max_file_bytes;
};

void Declare(CLI::App& app, Arguments& arguments) {
  auto* task = app.add_option("task", arguments.task_path,
                              "Run the task that this document describes (see docs/protocol.md)");
  auto* probe = app.add_option("--probe", arguments.probe_path, "Print what is in a media file");
  auto* capabilities = app.add_flag("--capabilities", arguments.capabilities,
                                    "Print the codecs that can be encoded, and the versions");
  auto* zygote = app.add_option("--zygote", arguments.zygote_fd,
                                "Serve requests for tasks on this SOCK_SEQPACKET descriptor");
  auto* repro = app.add_option("--repro", arguments.repro.folder,
                               "Repeat the failing attempt of the dead letter in this folder; exit "
                               "status 0: it failed alike, 1: it ended otherwise, 2: not run");
  app.add_option("--input", arguments.repro.input, "Repeat it on this file instead")->needs(repro);
  app.add_option(
         "--seconds", arguments.repro_seconds,
         "Kill the repeated attempt after this long (3600; 300 if the job died of making no "
         "progress)")
      ->envname("MILLRACE_REPRO_SECONDS");
  auto* modes = app.add_option_group("mode");
  modes->add_options(task, probe, capabilities, zygote, repro);
  modes->require_option(1);
  app.add_option("--report-fd", arguments.report_fd,
                 "Write progress and result there instead of on standard output");
  app.add_option("--max-file-bytes", arguments.max_file_bytes,
                 "No output file may grow beyond this");
  app.add_flag("--no-sandbox", arguments.no_sandbox, "For debugging: keep all rights");
}

int Probe(const std::string& path) {
  std::cout << millrace::encode::ProbeFile(path).dump(2, ' ', false,
                                                      nlohmann::json::error_handler_t::replace)
            << '\n';
  return kSuccess;
}

int Repeat(const Arguments& arguments) {
  millrace::encode::ReproOptions options = arguments.repro;
  if (arguments.repro_seconds) options.limit.emplace(*arguments.repro_seconds);
  return millrace::encode::Reproduce(options);
}

int Run(const Arguments& arguments) {
  if (!arguments.repro.folder.empty()) return Repeat(arguments);
  if (!arguments.probe_path.empty()) return Probe(arguments.probe_path);
  if (arguments.capabilities) {
    std::cout << millrace::encode::Capabilities().dump(2) << '\n';
    return kSuccess;
  }
  if (arguments.zygote_fd >= 0) {
    millrace::encode::Zygote(millrace::UniqueFd(arguments.zygote_fd)).Run();
    return kSuccess;
  }
  return millrace::encode::RunTaskProcess(arguments.task_path,
                                          {.report_fd = arguments.report_fd,
                                           .sandbox = !arguments.no_sandbox,
                                           .max_file_bytes = arguments.max_file_bytes});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs exactly one encoding task and exits", "millrace-encode"};
  app.set_version_flag("--version", "millrace-encode " + std::string(MILLRACE_VERSION));
  Arguments arguments;
  Declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  millrace::StartLog("millrace-encode", millrace::LogLevel::kInfo);
  millrace::encode::PrepareProcess();
  try {
    return Run(arguments);
  } catch (const millrace::Error& error) {
    std::cerr << ToJson(error).dump() << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
  return kFailure;
}
