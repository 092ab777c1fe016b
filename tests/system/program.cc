#include "tests/system/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

namespace millrace::harness {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void ThrowSystemError(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

UniqueFd OpenForOutput(const fs::path& path) {
  const char* name = path.empty() ? "/dev/null" : path.c_str();
  UniqueFd file(open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file) ThrowSystemError(name);
  return file;
}

// Runs in the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void Become(const Command& command, char** arguments, char** environment, int in,
                         int out, int err, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  // Leave the terminal's process group: the test passes a Ctrl-C on.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (!command.folder.empty() && chdir(command.folder.c_str()) != 0) _exit(127);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execvpe(command.program.c_str(), arguments, environment);
  _exit(127);
}

std::string NameOfVariable(const std::string& assignment) {
  return assignment.substr(0, assignment.find('=') + 1);
}

std::vector<std::string> EnvironmentOf(const Command& command) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    bool replaced = false;
    for (const std::string& own : command.environment) {
      replaced = replaced || std::string(*entry).starts_with(NameOfVariable(own));
    }
    if (!replaced) all.emplace_back(*entry);
  }
  all.insert(all.end(), command.environment.begin(), command.environment.end());
  return all;
}

// Returns a nameless file, with a path in /proc, for the output of a command.
UniqueFd ScratchFile() {
  UniqueFd file(open(fs::temp_directory_path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) ThrowSystemError("scratch file");
  return file;
}

std::string ContentOf(const UniqueFd& file) {
  std::string content;
  std::array<char, 65536> block;
  for (;;) {
    const ssize_t count =
        pread(file.get(), block.data(), block.size(), static_cast<off_t>(content.size()));
    if (count <= 0) return content;
    content.append(block.data(), static_cast<size_t>(count));
  }
}

}  // namespace

Program::Program(const Command& command) {
  std::vector<std::string> words = command.arguments;
  words.insert(words.begin(), command.program.string());
  std::vector<char*> arguments = Pointers(words);
  std::vector<std::string> assignments = EnvironmentOf(command);
  std::vector<char*> environment = Pointers(assignments);
  const UniqueFd in(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd out = OpenForOutput(command.out);
  const UniqueFd err = OpenForOutput(command.err);
  const pid_t self = getpid();
  pid_ = fork();
  if (pid_ < 0) ThrowSystemError("fork");
  if (pid_ == 0) {
    Become(command, arguments.data(), environment.data(), in.get(), out.get(), err.get(), self);
  }
  handle_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!handle_) ThrowSystemError("pidfd_open");
}

Program::~Program() {
  if (Running()) Stop();
}

bool Program::Running() { return !WaitFor(std::chrono::milliseconds(0)); }

void Program::Signal(int signal_number) {
  // Safe: the process is not reaped, so the number is still its own.
  if (!end_) kill(pid_, signal_number);
}

std::optional<ProcessEnd> Program::WaitFor(std::chrono::milliseconds limit) {
  if (end_) return end_;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd event = {.fd = handle_.get(), .events = POLLIN, .revents = 0};
    const int ready = poll(&event, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) break;
    if (ready == 0) return std::nullopt;
    if (errno != EINTR) ThrowSystemError("poll");
  }
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) ThrowSystemError("waitpid");
  end_ = WIFEXITED(status) ? ProcessEnd{.exit_status = WEXITSTATUS(status)}
                           : ProcessEnd{.signal = WTERMSIG(status)};
  return end_;
}

ProcessEnd Program::Stop(std::chrono::milliseconds limit) {
  Signal(SIGTERM);
  if (const auto end = WaitFor(limit)) return *end;
  Kill();
  return *end_;
}

void Program::Kill() {
  Signal(SIGKILL);
  WaitFor(std::chrono::minutes(1));
}

CommandResult RunCommand(Command command, std::chrono::milliseconds limit) {
  const UniqueFd out = ScratchFile();
  const UniqueFd err = ScratchFile();
  command.out = "/proc/self/fd/" + std::to_string(out.get());
  command.err = "/proc/self/fd/" + std::to_string(err.get());
  Program program(command);
  if (!program.WaitFor(limit)) program.Kill();
  return {.end = *program.WaitFor(std::chrono::milliseconds(0)),
          .out = ContentOf(out),
          .err = ContentOf(err)};
}

fs::path ProgramPath(const std::string& name) {
  const char* chosen = std::getenv("MILLRACE_BIN_DIR");
  return fs::path(chosen != nullptr ? chosen : MILLRACE_BUILD_BIN_DIR) / name;
}

std::string TailOf(const fs::path& file, size_t lines) {
  std::ifstream in(file);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(std::move(line));
  std::string tail;
  for (size_t i = all.size() > lines ? all.size() - lines : 0; i < all.size(); ++i) {
    tail += all[i] + "\n";
  }
  return tail;
}

}  // namespace millrace::harness
