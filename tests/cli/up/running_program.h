#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace::cli {

// A program started by a test, with its two output streams. The destructor kills it. Owned and used
// by the test's thread. Every wait throws std::runtime_error after a deadline.
class RunningProgram {
 public:
  RunningProgram(const std::filesystem::path& program, std::vector<std::string> arguments);
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  // Reads until a line of standard output or error contains `text`; returns that line.
  std::string WaitForLine(const std::string& text);
  void Signal(int number) const;
  // Reads both streams to their end; returns the exit status, or minus the signal that ended it.
  int WaitForEnd();

  pid_t pid() const { return pid_; }
  // Everything read so far.
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  // Returns false when both streams have ended.
  bool ReadMore(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = 0;
  std::optional<int> status_;
  UniqueFd out_end_;
  UniqueFd err_end_;
  std::string out_;
  std::string err_;
  size_t searched_out_ = 0;
  size_t searched_err_ = 0;
};

struct ProgramResult {
  int status = 0;
  std::string out;
  std::string err;
};

// Runs `millrace` to its end.
ProgramResult RunMillrace(std::vector<std::string> arguments);
// The path of the built program.
std::filesystem::path MillraceProgram();

}  // namespace millrace::cli
