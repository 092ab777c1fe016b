#include "cli/up/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

[[noreturn]] void ThrowCannotRun(const std::filesystem::path& program, int error_number) {
  throw Error(ErrorCode::kInternal,
              "cannot run " + program.string() + ": " + std::strerror(error_number));
}

// Runs in the child between fork and exec: only async-signal-safe calls. Returns errno.
int Become(const ChildCommand& command, char* const* argv, pid_t parent) {
  if (command.death_signal != 0) {
    if (prctl(PR_SET_PDEATHSIG, command.death_signal) != 0) return errno;
    if (getppid() != parent) _exit(1);  // the parent ended before the line above took effect
  }
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int stdout_fd = command.stdout_fd >= 0 ? command.stdout_fd : command.output_fd;
  if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0) return errno;
  if (stdout_fd >= 0 && dup2(stdout_fd, STDOUT_FILENO) < 0) return errno;
  if (command.output_fd >= 0 && dup2(command.output_fd, STDERR_FILENO) < 0) return errno;
  execv(argv[0], argv);
  return errno;
}

}  // namespace

pid_t StartChild(const ChildCommand& command) {
  // Allocate everything that the child needs before the fork.
  std::vector<std::string> words = {command.program.string()};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int report[2];  // carries errno if exec fails; a successful exec closes it
  if (pipe2(report, O_CLOEXEC) != 0) ThrowCannotRun(command.program, errno);
  UniqueFd read_end(report[0]);
  UniqueFd write_end(report[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) ThrowCannotRun(command.program, errno);
  if (pid == 0) {
    const int failure = Become(command, argv.data(), parent);
    [[maybe_unused]] const ssize_t written = write(report[1], &failure, sizeof(failure));
    _exit(127);
  }
  write_end.Reset();
  int failure = 0;
  ssize_t got = 0;
  do {
    got = read(read_end.get(), &failure, sizeof(failure));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(failure)) {
    waitpid(pid, nullptr, 0);
    ThrowCannotRun(command.program, failure);
  }
  return pid;
}

std::string DescribeWaitStatus(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return "was killed by signal " + std::to_string(number) + " (" + strsignal(number) + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

std::filesystem::path OwnFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace millrace::cli
