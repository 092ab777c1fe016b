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

// Declares the settings of a program once, for three sources: the flag --data-dir, the environment
// variable MILLRACE_DATA_DIR and the key data-dir of the file given with --config; the first that
// is set wins. Each Add keeps a reference to its target, whose value is the default that --help
// shows. Used by one thread, in main().
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
  // In seconds on the command line, fractions allowed; at least a thousandth.
  void Add(const std::string& name, std::chrono::milliseconds& target, const std::string& help);
  // The same, and 0 as well.
  void AddFromZero(const std::string& name, std::chrono::milliseconds& target,
                   const std::string& help);
  void Add(const std::string& name, std::vector<std::string>& target, const std::string& help);
  void AddFlag(const std::string& name, bool& target, const std::string& help);

  // Returns nullopt if the program should go on, else the status to exit with (--help, --version,
  // or a wrong option, which has been reported on standard error).
  std::optional<int> Parse(int argc, char** argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What every program of the service needs to know.
struct CommonSettings {
  std::filesystem::path data_dir = "millrace-data";
  std::string log_level = "info";
  // ZeroMQ endpoints; empty: sockets below <data-dir>/run.
  std::string client_endpoint;
  std::string worker_endpoint;
  std::string event_endpoint;
};

void AddCommonSettings(SettingsParser& parser, CommonSettings& settings);

// Fills empty endpoints in, makes data_dir absolute and starts the log. Throws
// Error{kInvalidRequest} if a socket's path would be longer than the system allows.
void FinishCommonSettings(CommonSettings& settings, const std::string& program);

inline constexpr std::string_view kVersion = MILLRACE_VERSION;

}  // namespace millrace
