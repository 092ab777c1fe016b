#include "tests/cli/up/running_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

#include "cli/up/child_process.h"

namespace millrace::cli {
namespace {

constexpr std::chrono::seconds kPatience{30};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Returns the whole line that contains `text`, at or after `from`, and moves `from` behind it.
std::optional<std::string> FindLine(const std::string& all, size_t& from, const std::string& text) {
  for (size_t end = 0; (end = all.find('\n', from)) != std::string::npos;) {
    const std::string line = all.substr(from, end - from);
    from = end + 1;
    if (line.find(text) != std::string::npos) return line;
  }
  return std::nullopt;
}

}  // namespace

RunningProgram::RunningProgram(const std::filesystem::path& program,
                               std::vector<std::string> arguments) {
  Pipe out = MakePipe();
  Pipe err = MakePipe();
  pid_ = StartChild({.program = program,
                     .arguments = std::move(arguments),
                     .output_fd = err.write_end.get(),
                     .stdout_fd = out.write_end.get(),
                     .death_signal = SIGKILL});
  out_end_ = std::move(out.read_end);
  err_end_ = std::move(err.read_end);
}

RunningProgram::~RunningProgram() {
  if (status_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool RunningProgram::ReadMore(std::chrono::steady_clock::time_point deadline) {
  std::array<pollfd, 2> events = {pollfd{out_end_.get(), POLLIN, 0},
                                  pollfd{err_end_.get(), POLLIN, 0}};
  if (events[0].fd < 0 && events[1].fd < 0) return false;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0 ||
      poll(events.data(), events.size(), static_cast<int>(left.count())) == 0) {
    throw std::runtime_error("it took too long; out: " + out_ + "\nerr: " + err_);
  }
  std::array<char, 4096> block;
  for (const bool is_out : {true, false}) {
    if (events.at(is_out ? 0 : 1).revents == 0) continue;
    UniqueFd& from = is_out ? out_end_ : err_end_;
    const ssize_t got = read(from.get(), block.data(), block.size());
    if (got > 0) {
      (is_out ? out_ : err_).append(block.data(), static_cast<size_t>(got));
    } else {
      from.Reset();
    }
  }
  return true;
}

std::string RunningProgram::WaitForLine(const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  do {
    if (auto line = FindLine(out_, searched_out_, text)) return *line;
    if (auto line = FindLine(err_, searched_err_, text)) return *line;
  } while (ReadMore(deadline));
  throw std::runtime_error("it ended without saying '" + text + "'; out: " + out_ +
                           "\nerr: " + err_);
}

void RunningProgram::Signal(int number) const { kill(pid_, number); }

int RunningProgram::WaitForEnd() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (ReadMore(deadline)) {
  }
  int wait_status = 0;
  if (waitpid(pid_, &wait_status, 0) != pid_) throw std::runtime_error("waitpid");
  status_ = WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  return *status_;
}

ProgramResult RunMillrace(std::vector<std::string> arguments) {
  RunningProgram program(MillraceProgram(), std::move(arguments));
  const int status = program.WaitForEnd();
  return {status, program.out(), program.err()};
}

std::filesystem::path MillraceProgram() { return MILLRACE_PROGRAM; }

}  // namespace millrace::cli
