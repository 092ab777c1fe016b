#include "transcoder/encode/process/repro.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_text.h"
#include "transcoder/encode/process/task_process.h"

namespace millrace::encode {
namespace {

namespace fs = std::filesystem;
using Seconds = std::chrono::duration<double>;

constexpr Seconds kLimit = std::chrono::hours(1);
constexpr Seconds kStallLimit = std::chrono::minutes(5);
constexpr const char* kNone = "none";

std::string NameOfCode(ErrorCode code) { return std::string(TraitsOf(code).name); }

nlohmann::json ReadObject(const fs::path& path) {
  nlohmann::json json = nlohmann::json::parse(ReadWholeFile(path), nullptr, false);
  if (json.is_object()) return json;
  throw Error(ErrorCode::kInvalidRequest, path.string() + " is not a JSON object");
}

fs::path FindInput(const ReproOptions& options, const nlohmann::json& task) {
  const fs::path folder = fs::absolute(options.folder);
  // A relative path in the task is one in the folder.
  const fs::path input =
      options.input.empty() ? folder / task.value("input_path", "") : fs::absolute(options.input);
  std::error_code error;
  if (fs::is_regular_file(input, error)) return input;
  throw Error(ErrorCode::kInputUnreadable,
              "there is no input " + input.string() + "; name another with --input");
}

fs::path MakeWorkFolder() {
  std::string path = (fs::temp_directory_path() / "millrace-repro.XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) ThrowStorageError(errno, "create", path);
  CreateFolders(fs::path(path) / "out");
  return path;
}

[[noreturn]] void BecomeAttempt(const fs::path& work) {
  const UniqueFd report = CreateFile(work / "report.jsonl");
  const UniqueFd log = CreateFile(work / "log.txt");
  dup2(log.get(), STDERR_FILENO);
  const int status = RunTaskProcess((work / "task.json").string(), {.report_fd = report.get()});
  std::fflush(nullptr);
  _exit(status);
}

// Waits for the child, and kills it at the limit. REQUIRES: SIGCHLD is blocked.
AttemptEnd Await(pid_t child, Seconds limit) {
  AttemptEnd end;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (waitpid(child, &end.wait_status, WNOHANG) == 0) {
    const Seconds left = deadline - std::chrono::steady_clock::now();
    if (left <= Seconds::zero()) {
      end.timed_out = true;
      kill(child, SIGKILL);
      waitpid(child, &end.wait_status, 0);
      break;
    }
    const auto whole = std::chrono::floor<std::chrono::seconds>(left);
    const timespec wait{.tv_sec = whole.count(),
                        .tv_nsec = static_cast<long>((left - whole).count() * 1e9)};
    sigtimedwait(&signals, nullptr, &wait);
  }
  return end;
}

AttemptEnd RunAttempt(const fs::path& work, Seconds limit) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t child = fork();
  if (child < 0) throw Error(ErrorCode::kInternal, std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    BecomeAttempt(work);
  }
  return Await(child, limit);
}

std::string LastLineOf(const fs::path& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);) last = std::move(line);
  return last;
}

std::string HowItEnded(int wait_status) {
  if (WIFEXITED(wait_status)) return fmt::format("exit status {}", WEXITSTATUS(wait_status));
  const char* name = sigabbrev_np(WTERMSIG(wait_status));
  return fmt::format("ended by SIG{}", name != nullptr ? name : "?");
}

int Compare(const std::string& expected, const AttemptEnd& end) {
  if (Repeats(expected, end)) {
    fmt::print("repro: reproduced: {}\n", expected);
    return kReproduced;
  }
  fmt::print("repro: not reproduced: expected {}, this time {}\n", expected, CodeOf(end));
  return kNotReproduced;
}

int Run(const ReproOptions& options) {
  const fs::path folder(options.folder);
  const std::string expected = ReadObject(folder / "report.json").value("expected_code", "");
  if (expected.empty()) {
    throw Error(ErrorCode::kInvalidRequest, "report.json does not say which code is expected");
  }
  nlohmann::json task = ReadObject(folder / "task.json");
  task["input_path"] = FindInput(options, task).string();
  const fs::path work = MakeWorkFolder();
  task["output_dir"] = (work / "out").string();
  WriteFileDurably(work / "task.json", ToText(task));

  const bool stall = expected == NameOfCode(ErrorCode::kStalled);
  AttemptEnd end = RunAttempt(work, options.limit.value_or(stall ? kStallLimit : kLimit));
  const std::string last_line = LastLineOf(work / "report.jsonl");
  end.last_line = last_line;
  fmt::print("{}\nrepro: {}; report, log and outputs are in {}\n", last_line,
             HowItEnded(end.wait_status), work.string());
  return Compare(expected, end);
}

}  // namespace

std::string CodeOf(const AttemptEnd& end) {
  if (end.timed_out) return NameOfCode(ErrorCode::kStalled);
  const nlohmann::json line = nlohmann::json::parse(end.last_line, nullptr, false);
  if (line.is_object() && line.contains("error")) {
    return NameOfCode(ErrorFromJson(line["error"]).code());
  }
  if (WIFSIGNALED(end.wait_status)) return NameOfCode(ErrorCode::kEncoderCrashed);
  return WEXITSTATUS(end.wait_status) == 0 ? kNone : NameOfCode(ErrorCode::kEncodeFailed);
}

bool Repeats(std::string_view expected, const AttemptEnd& end) {
  const std::string code = CodeOf(end);
  if (code == expected) return true;
  // A process that runs out of memory is killed and cannot say so itself.
  const bool killed = WIFSIGNALED(end.wait_status) && WTERMSIG(end.wait_status) == SIGKILL;
  return killed && !end.timed_out && expected == NameOfCode(ErrorCode::kOutOfMemory) &&
         code == NameOfCode(ErrorCode::kEncoderCrashed);
}

int Reproduce(const ReproOptions& options) {
  try {
    return Run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "repro: {}\n", error.what());
    return kNotRun;
  }
}

}  // namespace millrace::encode
