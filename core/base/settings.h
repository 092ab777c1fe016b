#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/log.h"

namespace millrace {

// Declares each setting of a program once and reads it from the first of three sources that has it:
// the flag --data-dir, the environment variable MILLRACE_DATA_DIR, and the key data-dir of the file
// given with --config. Each Add keeps a reference to its target, whose value is the default shown
// by --help. Used by one thread, in main().
class SettingsParser {
 public:
  SettingsParser(const std::string& program, const std::string& description);
  ~SettingsParser();

  // `name` is in kebab-case, e.g. "data-dir".
  void Add(const std::string& name, std::string& target, const std::string& help);
  void Add(const std::string& name, std::filesystem::path& target, const std::string& help);
  void Add(const std::string& name, int& target, const std::string& help);
  void Add(const std::string& name, int64_t& target, const std::string& help);
  void Add(const std::string& name, double& target, const std::string& help);
  // Takes seconds on the command line, with fractions; at least 0.001.
  void Add(const std::string& name, std::chrono::milliseconds& target, const std::string& help);
  // Accepts 0 as well.
  void AddFromZero(const std::string& name, std::chrono::milliseconds& target,
                   const std::string& help);
  void Add(const std::string& name, std::vector<std::string>& target, const std::string& help);
  void AddFlag(const std::string& name, bool& target, const std::string& help);

  // Returns nullopt if the program should go on, else the exit status: after --help, --version, or
  // a wrong option, which it reports on standard error.
  std::optional<int> Parse(int argc, char** argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The settings of every program of the service.
struct CommonSettings {
  std::filesystem::path data_dir = "millrace-data";
  std::string log_level = "info";
  // ZeroMQ endpoints; empty: sockets below <data-dir>/run.
  std::string client_endpoint;
  std::string worker_endpoint;
  std::string event_endpoint;
};

void AddCommonSettings(SettingsParser& parser, CommonSettings& settings);

// Fills in empty endpoints, makes data_dir absolute and starts the log. Throws
// Error{kInvalidRequest} if a socket's path would be longer than the system allows.
void FinishCommonSettings(CommonSettings& settings, const std::string& program);

inline constexpr std::string_view kVersion = MILLRACE_VERSION;

}  // namespace millrace
