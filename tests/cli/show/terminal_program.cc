#include "tests/cli/show/terminal_program.h"

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <stdexcept>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

constexpr std::chrono::seconds kPatience{30};

// Returns false at the end: the other side has closed the terminal.
bool ReadScreen(int terminal, std::chrono::steady_clock::time_point deadline, std::string& screen) {
  pollfd event{terminal, POLLIN, 0};
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0 || poll(&event, 1, static_cast<int>(left.count())) == 0) {
    throw std::runtime_error("it took too long; on the screen: " + screen);
  }
  std::array<char, 4096> block;
  const ssize_t got = read(terminal, block.data(), block.size());
  if (got > 0) screen.append(block.data(), static_cast<size_t>(got));
  return got > 0;
}

}  // namespace

ProgramResult RunOnTerminal(std::vector<std::string> arguments, const TerminalSession& session) {
  const std::string program = MillraceProgram().string();
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  winsize size{};
  size.ws_col = static_cast<unsigned short>(session.columns);
  size.ws_row = 24;
  int end = -1;
  const pid_t pid = forkpty(&end, nullptr, nullptr, &size);
  if (pid < 0) throw std::runtime_error("forkpty");
  if (pid == 0) {
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  const UniqueFd terminal(end);
  ProgramResult result;
  bool typed = session.answer.empty();
  try {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (ReadScreen(end, deadline, result.out)) {
      if (typed || result.out.find(session.prompt) == std::string::npos) continue;
      const std::string line = session.answer + "\n";
      typed = write(end, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    }
  } catch (...) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    throw;
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) throw std::runtime_error("waitpid");
  result.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  std::erase(result.out, '\r');
  return result;
}

}  // namespace millrace::cli
