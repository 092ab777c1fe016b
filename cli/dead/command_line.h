#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/dead/commands.h"
#include "cli/dead/redrive.h"

namespace CLI {
class App;
}

namespace millrace::cli {

// Holds the parsed options of `millrace dead …`. Outlives the parser.
struct DeadCommandLine {
  DeadListOptions list;
  DeadRedriveOptions redrive;
  DeadSelection purge;
  std::string job;
  std::optional<int64_t> fence;
  std::string target;  // file or folder
};

// Adds a command below `parent`, with the options of a client.
using AddClientCommand = std::function<CLI::App*(
    CLI::App& parent, const std::string& name, const std::string& help, std::function<int()> run)>;

// Adds `millrace dead` and its commands to the parser. REQUIRES: `client` and `options` outlive it.
void AddDeadCommands(CLI::App& app, const AddClientCommand& add, const ClientOptions& client,
                     DeadCommandLine& options);

}  // namespace millrace::cli
